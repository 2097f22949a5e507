"""What people do in Python to have the results of several processes in one, in order.

    python pool_peers.py WAY WORK NUMBER [--check]

WORK is `bytes` (six results of so many bytes), `rows` (six results of so many small dictionaries), `tiny` (so many
results of a line) or `table` (six processes at once use a table of so many MiB). Prints a line of JSON: how long it took, in
seconds, from before the first process until all results are one; with --check also whether that is right.
"""

import json
import multiprocessing
import sys
import time

from lambda_multiprocessing import Pool

PROCESSES = 6
PAGE_BYTES = 4 << 10
STAYS_SECONDS = 0.5

# As on Lambda up to Python 3.13; later ones start a fork server of their own.
multiprocessing.set_start_method("fork")
way, work, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
chunks = number if work == "tiny" else PROCESSES
# What processes use that are forked from this one.
table = bytes(range(251)) * ((number << 20) // 251 + 1) if work == "table" else b""


def result(index):
    """What a chunk gives."""
    if work == "bytes":
        return bytes([ord("A") + index % 26]) * number
    if work == "rows":
        ids = range(number * index, number * (index + 1))
        return [{"id": id, "name": f"user-{id:07}", "amount": id * 1.25, "part": index} for id in ids]
    if work == "tiny":
        return f"{index}\n".encode()
    return bytes([sum(table[::PAGE_BYTES]) > 0])


def joined(results):
    """All results as one, in order."""
    ordered = [value for _, value in sorted(results, key=lambda result: result[0])]
    if work == "rows":
        return [row for rows in ordered for row in rows]
    return b"".join(ordered)


def stay():
    """All six are to be there at once, and to be seen."""
    if work == "table":
        time.sleep(STAYS_SECONDS)


def into_list(shared, index):
    shared.append((index, result(index)))
    stay()


def into_pipe(pipe, index):
    pipe.send((index, result(index)))
    pipe.close()
    stay()


def returned(index):
    return index, result(index)


def in_turns(start, take):
    """At most six at once: each group of six is waited for, as who writes this by hand does."""
    for first in range(0, chunks, PROCESSES):
        group = [start(index) for index in range(first, min(first + PROCESSES, chunks))]
        take(group)


def manager():
    """The list of a manager, which is a process of its own."""
    began = time.monotonic()
    shared = multiprocessing.Manager().list()

    def start(index):
        process = multiprocessing.Process(target=into_list, args=(shared, index))
        process.start()
        return process

    def take(processes):
        while work == "table" and len(shared) < PROCESSES:
            time.sleep(0.001)
        marks.append(time.monotonic())
        for process in processes:
            process.join()

    marks = []
    in_turns(start, take)
    whole = joined(shared)
    return (marks[0] if work == "table" else time.monotonic()) - began, whole


def pipe():
    """A pipe to each process, read before it is waited for: else what is larger than a pipe never ends."""
    results, marks = [], []
    began = time.monotonic()

    def start(index):
        reader, writer = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=into_pipe, args=(writer, index))
        process.start()
        writer.close()
        return reader, process

    def take(group):
        results.extend(reader.recv() for reader, _ in group)
        marks.append(time.monotonic())
        for reader, process in group:
            process.join()
            reader.close()

    in_turns(start, take)
    whole = joined(results)
    return (marks[0] if work == "table" else time.monotonic()) - began, whole


def lambda_multiprocessing():
    """The package, whose pool keeps its processes and gives each task to the next one."""
    began = time.monotonic()
    with Pool(PROCESSES) as pool:
        results = pool.map(returned, range(chunks))
        taken = time.monotonic() - began
        stay()
    whole = joined(results)
    return (taken if work == "table" else time.monotonic() - began), whole


def is_right(whole):
    if work == "bytes":
        parts = (whole[index * number : (index + 1) * number] for index in range(PROCESSES))
        return len(whole) == number * PROCESSES and all(part == result(index) for index, part in enumerate(parts))
    if work == "rows":
        return [row["id"] for row in whole] == list(range(number * PROCESSES))
    if work == "tiny":
        return whole == b"".join(result(index) for index in range(number))
    return whole == b"\1" * PROCESSES


ways = {"manager": manager, "pipe": pipe, "lambda-multiprocessing": lambda_multiprocessing}
seconds, whole = ways[way]()
print(json.dumps({"seconds": seconds, "right": "--check" not in sys.argv or is_right(whole)}))
