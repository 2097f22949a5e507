"""The AWS command line, which tells in the file COUNTS what it has moved."""

import os
import sys

import awscli.clidriver
from counts import Counts

counts = Counts()
driver = awscli.clidriver.create_clidriver()
counts.watch(driver.session.get_component("event_emitter"))
status = driver.main(sys.argv[1:])
counts.append_to(os.environ["COUNTS"])
sys.exit(status)
