"""What the controller costs: time, memory, queries and bytes per tick, size on disk, start, and lines of backtest a second."""
