"""What goes between a client of botocore and S3: requests, and bytes of objects each way."""

import json
import threading


class Counts:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.bytes_read = self.bytes_written = 0

    def watch(self, events):
        """Counts from now on what the clients with these events do, tries that are repeated included."""
        events.register("before-send.s3", self.sent)
        events.register("after-call.s3.GetObject", self.got)

    def sent(self, request, **_):
        length = request.headers.get("X-Amz-Decoded-Content-Length") or request.headers.get("Content-Length") or 0
        with self.lock:
            self.requests += 1
            # The list of a completion's parts is no byte of an object.
            self.bytes_written += int(length) if request.method == "PUT" else 0

    def got(self, parsed, **_):
        with self.lock:
            self.bytes_read += parsed.get("ContentLength", 0)

    def told(self):
        return {"requests": self.requests, "bytes_read": self.bytes_read, "bytes_written": self.bytes_written}

    def append_to(self, path):
        """Tells, in a line of its own, whoever reads the file later."""
        with open(path, "a") as file:
            file.write(json.dumps(self.told()) + "\n")

    def add(self, lines):
        """Adds what others told."""
        for line in map(json.loads, lines):
            self.requests += line["requests"]
            self.bytes_read += line["bytes_read"]
            self.bytes_written += line["bytes_written"]
