//! Results larger than memory: 512 MiB from each of six processes at once.

use std::io::Read;
use std::process::Stdio;

use e2e::processes::Process;
use e2e::program::Sandbox;
use serde_json::json;

use crate::sandbox;

/// What one process prints.
const RESULT_BYTES: usize = 512 << 20;

/// How many processes run at once, each over a chunk of its own.
const PROCESSES: usize = 6;

/// The most memory that a function may ever have had, by its role.
const MEMORY_KIB_MAX: [(&str, u64); 2] = [("worker", 200 << 10), ("reducer", 128 << 10)];

/// The highest peak of the functions of this role that run now.
fn peak_kib(sandbox: &Sandbox, role: &str) -> Option<u64> {
    let functions = sandbox.processes(&format!("bootstrap {role}"));
    functions.iter().filter_map(Process::peak_memory_kib).max()
}

/// What the process of this chunk prints: `yes` with the chunk's offset.
fn pattern(index: usize) -> Vec<u8> {
    format!("{index}\n").into_bytes()
}

#[test]
fn six_results_of_512_mib_at_once_need_less_than_200_mib_of_memory() {
    let sandbox = sandbox();
    let job = json!({
        "version": 1,
        "name": "large",
        "source": { "range": { "start": 0, "end": PROCESSES, "chunk": 1 } },
        "task": { "command": ["sh", "-c", format!("yes $FANFOLD_OFFSET | head -c {RESULT_BYTES}")] },
        "output": { "uri": "-" },
        "processes": PROCESSES
    });
    sandbox.write("job.json", job.to_string());
    let mut command = sandbox.command(["run", "job.json", "--workers", "1", "--quiet"]);
    let mut running =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = running.stdout.take().unwrap();

    let mut piece = vec![0; 1 << 20];
    let mut peaks = None;
    for index in 0..PROCESSES {
        let expected = pattern(index).repeat(piece.len() / pattern(index).len());
        for at in 0..RESULT_BYTES / piece.len() {
            output.read_exact(&mut piece).unwrap();
            // The output comes when both have done their work; until it is read to its end, they are still there.
            let peaks = peaks.get_or_insert_with(|| {
                MEMORY_KIB_MAX.map(|(role, most)| (role, most, peak_kib(&sandbox, role)))
            });
            assert!(peaks.iter().all(|(_, _, peak)| peak.is_some()), "{peaks:?}");
            assert!(piece == expected, "index {index} differs in its MiB {at}");
        }
    }
    assert_eq!(output.read(&mut piece).unwrap(), 0, "there is more than was printed");
    let ended = running.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    for (role, most, peak) in peaks.into_iter().flatten() {
        println!("the {role}'s peak: {} MiB", peak.unwrap_or(0) >> 10);
        assert!(peak.is_some_and(|kib| kib < most), "the {role} had {peak:?} KiB");
    }
    sandbox.assert_clean(&["job.json"]);
}
