"""Pictures of plain data: pure functions that know no cluster and no process."""
