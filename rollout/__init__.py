"""The controller and its command line: walks a canary by commits, gated on evidence."""
