//! The classic bulk query: a `range` job over a database, six chunks, one JSON array.

use std::process::Command;

use fanfold_flow::report::Counts;
use serde_json::{Value, json};

use crate::{data, python, sandbox};

/// One query over the whole table, by another program than the job's.
const WHOLE: &str = "import json, sqlite3, sys; \
    json.dump(sqlite3.connect(sys.argv[1]).execute('select * from strikes order by id').fetchall(), sys.stdout)";

#[test]
fn six_chunks_of_a_query_make_the_array_that_one_query_gives() {
    let sandbox = sandbox();
    let filled = Command::new("python3")
        .arg(python("fill_database.py"))
        .args([sandbox.path("strikes.db").as_os_str(), data("birdstrikes.csv").as_ref()])
        .status();
    assert!(filled.unwrap().success());
    let whole = Command::new("python3").args(["-c", WHOLE]).arg(sandbox.path("strikes.db")).output().unwrap();
    let whole: Vec<Value> = serde_json::from_slice(&whole.stdout).unwrap();
    assert_eq!(whole.len(), 10_000);

    let job = json!({
        "version": 1,
        "name": "bulk-query",
        "source": { "range": { "start": 0, "end": 10_000, "chunk": 5_000 } },
        "task": { "command": ["python3", python("bulk_query.py"), "strikes.db"] },
        "output": { "uri": "nowhere/rows.json", "format": "json-array" }
    });
    sandbox.write("job.json", job.to_string());
    // 10,000 rows by 1,667 are five whole chunks and one of 1,665.
    let ended = sandbox.run([
        "run",
        "job.json",
        "--json",
        "--set",
        "source.range.chunk=1667",
        "--set",
        "output.uri={name}.json",
        "--set",
        "processes=3",
    ]);
    let report = ended.succeeded().report();
    assert_eq!(report.chunks, Counts { total: 6, done: 6, failed: 0, cancelled: 0 });
    let rows: Vec<Value> = serde_json::from_slice(&sandbox.read("bulk-query.json")).unwrap();
    assert!(rows == whole, "the rows differ, or their order");
    sandbox.assert_clean(&["bulk-query.json", "job.json", "strikes.db"]);
}
