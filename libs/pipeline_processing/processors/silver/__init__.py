"""Bronze files to silver tables: what an item is, how a run is planned, worked off and published."""
