"""Who and what this site has: accounts behind the column map, audiences, courses, passwords."""
