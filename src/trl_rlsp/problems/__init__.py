"""Any source of problems as rows `prompt`, `solution`, ..."""
