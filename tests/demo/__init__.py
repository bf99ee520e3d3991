"""What `make demo` plays, and what it leaves."""
