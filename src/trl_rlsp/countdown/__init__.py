"""What only the countdown toy needs: search, demonstrations, its traces and its tiny model."""
