"""Counts the words of a chunk's lines: one JSON array with one object."""

import json
import os
import sys
from collections import Counter

words = Counter(word for line in sys.stdin for word in line.split())
json.dump([{"chunk": int(os.environ["FANFOLD_INDEX"]), "words": words.most_common(10)}], sys.stdout)
