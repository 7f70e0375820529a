"""Who and where, as plain data: rank lists now; hostfiles and topologies belong here as well."""
