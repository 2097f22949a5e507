"""Makes a SQLite table `strikes` of a CSV file: a column for each of its own, and `id`, counted from 0.

    python3 fill_database.py DATABASE CSV
"""

import csv
import sqlite3
import sys

database, path = sys.argv[1:]
with open(path, newline="") as file, sqlite3.connect(database) as connection:
    rows = csv.reader(file)
    names = ", ".join(f'"{name}"' for name in next(rows))
    table = [(number, *row) for number, row in enumerate(rows)]
    places = ", ".join("?" * len(table[0]))
    connection.execute(f"create table strikes (id integer primary key, {names})")
    connection.executemany(f"insert into strikes values ({places})", table)
