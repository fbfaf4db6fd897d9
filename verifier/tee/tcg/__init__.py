"""What every scheme with registers shares: TCG event logs, their replay, and closed rules over them. No scheme by itself."""
