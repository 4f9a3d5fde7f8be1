"""What a stage's file may say."""
