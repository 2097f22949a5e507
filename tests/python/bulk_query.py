"""The classic bulk query: each process reads its own rows, and prints them as a JSON list.

    FANFOLD_OFFSET=0 FANFOLD_LIMIT=100 python3 bulk_query.py DATABASE
"""

import json
import os
import sqlite3
import sys

offset, limit = int(os.environ["FANFOLD_OFFSET"]), int(os.environ["FANFOLD_LIMIT"])
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
rows = connection.execute("select * from strikes order by id limit ? offset ?", (limit, offset))
json.dump(rows.fetchall(), sys.stdout)
