//! The contract with a program: whatever it does with its three streams, the run ends, and says how.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::convert::Infallible;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{Exit, Input, InputEnd, Log, Output, RunError, StartError, Tail};
use futures::{StreamExt, stream};
use harness::{EndingEarly, input, no_input, pattern, pool, program, run, run_with, scripted, shell};

/// More than all pipes and buffers of a run together hold.
const MORE_THAN_FITS: usize = 5_000_011;

#[tokio::test]
async fn what_goes_in_comes_out_of_a_filter() {
    let bytes = pattern(MORE_THAN_FITS);
    let (ended, output, lines) = run_with(&pool(), &program(["cat"]), input(bytes.clone(), 70_001)).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.input), (Exit::Code(0), InputEnd::AllFed));
    let all = MORE_THAN_FITS as u64;
    assert_eq!((ended.bytes_in, ended.bytes_out, ended.bytes_err), (all, all, 0));
    assert!(output == bytes && lines.is_empty() && ended.leftovers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fills_its_output_before_it_reads_does_not_deadlock() {
    let bytes = pattern(MORE_THAN_FITS);
    let steps = [format!("write={MORE_THAN_FITS}"), format!("error={MORE_THAN_FITS}"), "echo-all".into()];
    let (ended, output, _) = run_with(&pool(), &scripted(steps), input(bytes.clone(), 1 << 20)).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.input), (Exit::Code(0), InputEnd::AllFed));
    assert!(output == [bytes.clone(), bytes].concat());
    assert_eq!(ended.bytes_err, MORE_THAN_FITS as u64);
}

#[tokio::test]
async fn a_program_that_never_reads_succeeds_and_the_rest_of_its_input_is_not_asked_for() {
    let mut asked = 0;
    let endless = stream::repeat_with(|| {
        asked += 1;
        Ok::<_, Infallible>(Bytes::from_static(&[7; 64 << 10]))
    });
    let (ended, output, _) = run_with(&pool(), &scripted(["write=9"]), endless).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, output), (Exit::Code(0), pattern(9)));
    assert_eq!(ended.input, InputEnd::StoppedReading { fed_bytes: ended.bytes_in });
    // One pipe full, and the piece that did not fit.
    assert!(asked <= 17 && ended.bytes_in <= 1 << 20, "{asked} pieces, {} bytes", ended.bytes_in);
}

#[tokio::test]
async fn a_program_that_closes_its_input_early_goes_on_writing() {
    let steps = ["echo=100", "close-input", "write=100"];
    let (ended, output, _) =
        run_with(&pool(), &scripted(steps), input(pattern(MORE_THAN_FITS), 50_000)).await;
    let ended = ended.unwrap();
    assert_eq!(ended.exit, Exit::Code(0));
    assert!(matches!(ended.input, InputEnd::StoppedReading { fed_bytes } if fed_bytes >= 100));
    assert_eq!(output, [pattern(100), pattern(100)].concat());
}

/// An input that never goes on, and tells when nobody waits for it any more.
struct Stalled(Option<tokio::sync::oneshot::Sender<()>>);

impl Input for Stalled {
    type Error = Infallible;

    async fn next(&mut self, _: usize) -> Option<Result<Bytes, Infallible>> {
        // Dropped with the future.
        let _waited_for = self.0.take();
        std::future::pending().await
    }
}

#[tokio::test]
async fn an_input_that_stalls_delays_neither_the_output_nor_the_end() {
    let stalling = stream::iter([Ok(Bytes::from_static(b"x"))]).chain(stream::pending());
    let steps = ["read=1".to_owned(), format!("write={MORE_THAN_FITS}")];
    let (ended, output, _) = run_with(&pool(), &scripted(steps), stalling).await;
    assert_eq!(ended.unwrap().input, InputEnd::StoppedReading { fed_bytes: 1 });
    assert!(output == pattern(MORE_THAN_FITS));
}

#[tokio::test]
async fn an_input_that_nobody_reads_any_more_is_not_waited_for_while_the_program_still_runs() {
    let (waited_for, not_waited_for) = tokio::sync::oneshot::channel();
    let (pool, program) = (pool(), shell("exec <&-; exec sleep 1000"));
    let (mut input, mut output, mut log) = (Stalled(Some(waited_for)), Vec::new(), |_: &[u8]| ());
    let run = pool.run(&program, &mut input, &mut output, &mut log);
    tokio::select! {
        ended = run => panic!("the program ended: {ended:?}"),
        dropped = not_waited_for => assert!(dropped.is_err(), "nothing is sent"),
    }
}

#[tokio::test]
async fn an_empty_input_is_closed_at_once() {
    let (ended, output, _) = run(&pool(), &program(["cat"])).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.input, ended.bytes_in), (Exit::Code(0), InputEnd::AllFed, 0));
    assert!(output.is_empty());
}

#[tokio::test]
async fn a_program_that_prints_nothing_has_read_everything_all_the_same() {
    let (ended, output, lines) =
        run_with(&pool(), &scripted(["read-all"]), input(pattern(100_000), 1000)).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.input, ended.bytes_in), (Exit::Code(0), InputEnd::AllFed, 100_000));
    assert!(output.is_empty() && lines.is_empty());
}

#[tokio::test]
async fn a_program_that_closes_its_output_early_may_go_on_reading() {
    let steps = ["write=5", "close-output", "read-all", "error-line=done"];
    let (ended, output, lines) =
        run_with(&pool(), &scripted(steps), input(pattern(3_000_000), 100_000)).await;
    assert_eq!(ended.unwrap().input, InputEnd::AllFed);
    assert_eq!((output, lines), (pattern(5), vec![b"done".to_vec()]));
}

#[tokio::test]
async fn a_death_by_signal_is_told_from_an_exit_and_keeps_what_was_written() {
    for (signal, script) in [(9, "printf half; kill -9 $$"), (11, "printf half; kill -SEGV $$")] {
        let (ended, output, _) = run(&pool(), &shell(script)).await;
        let exit = ended.unwrap().exit;
        assert_eq!((exit, output.as_slice()), (Exit::Signal(signal), b"half".as_slice()));
        assert!(!exit.success());
    }
}

#[tokio::test]
async fn an_exit_code_after_half_of_the_output_comes_with_that_half_and_the_last_words() {
    let steps = [format!("write={MORE_THAN_FITS}"), "error-line=no more".into(), "exit=3".into()];
    let (ended, output, lines) = run(&pool(), &scripted(steps)).await;
    assert_eq!(ended.unwrap().exit, Exit::Code(3));
    assert!(output == pattern(MORE_THAN_FITS));
    assert_eq!(lines, [b"no more"]);
}

#[tokio::test]
async fn megabytes_of_standard_error_come_as_lines_and_as_they_were_written() {
    let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); echo line $i; done >&2";
    let mut said = Said::default();
    pool().run(&shell(script), &mut no_input(), &mut Vec::new(), &mut said).await.unwrap();
    assert_eq!(said.lines.len(), 300_000);
    assert!(said.lines.iter().zip(1..).all(|(line, number)| *line == format!("line {number}").into_bytes()));
    assert!(said.tail.text().starts_with("line 299") && said.tail.text().ends_with("line 300000\n"));
}

/// All lines, the tail, and how many bytes there were.
#[derive(Default)]
struct Said {
    lines: Vec<Vec<u8>>,
    tail: Tail,
    heard: Arc<AtomicUsize>,
}

impl Log for Said {
    fn line(&mut self, line: &[u8]) {
        self.lines.push(line.to_vec());
    }

    fn bytes(&mut self, written: &[u8]) {
        self.tail.push(written);
        self.heard.fetch_add(written.len(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn the_last_words_of_a_program_whose_run_is_dropped_are_known_to_its_log() {
    let mut said = Said::default();
    let heard = Arc::clone(&said.heard);
    let (pool, program) = (pool(), shell("echo so far >&2; printf 'and no' >&2; exec sleep 1000"));
    let (mut input, mut output) = (no_input(), Vec::new());
    tokio::select! {
        ended = pool.run(&program, &mut input, &mut output, &mut said) => panic!("the program ended: {ended:?}"),
        () = async { while heard.load(Ordering::SeqCst) < 13 { tokio::task::yield_now().await } } => {}
    }
    assert_eq!((said.tail.text().as_str(), said.lines), ("so far\nand no", vec![b"so far".to_vec()]));
}

#[tokio::test]
async fn standard_error_without_a_newline_comes_in_pieces_that_lose_nothing() {
    let (ended, _, lines) = run(&pool(), &scripted([format!("error={MORE_THAN_FITS}")])).await;
    // The pattern has a newline in each period; none of its lines is long.
    assert!(lines.join(&b'\n') == pattern(MORE_THAN_FITS));
    assert_eq!(ended.unwrap().bytes_err, MORE_THAN_FITS as u64);

    let (ended, _, lines) = run(&pool(), &shell("head -c 3000001 /dev/zero >&2")).await;
    assert!(lines.iter().all(|line| line.len() <= fanfold_pool::LINE_BYTES_MAX));
    assert_eq!(lines.concat(), vec![0; 3_000_001]);
    assert_eq!(ended.unwrap().bytes_err, 3_000_001);
}

#[tokio::test]
async fn a_child_has_the_default_reaction_to_a_closed_pipe_and_the_group_of_its_parent() {
    // Were SIGPIPE ignored in the child, `yes` would complain on standard error and exit with 1.
    let script = "{ yes; echo $? >&2; } | head -n 1; cut -d' ' -f5 /proc/self/stat";
    let (ended, output, lines) = run(&pool(), &shell(script)).await;
    let group = rustix::process::getpgrp();
    assert_eq!(String::from_utf8(output).unwrap(), format!("y\n{group}\n"));
    assert_eq!(lines, [b"141"]);
    assert!(ended.unwrap().exit.success());
}

/// An output that refuses after so many pieces.
struct Refusing(u32);

impl Output for Refusing {
    type Error = std::io::Error;

    async fn write(&mut self, _: Bytes) -> Result<(), std::io::Error> {
        match self.0.checked_sub(1) {
            Some(left) => self.0 = left,
            None => return Err(std::io::Error::other("full")),
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_refuses_ends_the_run_with_its_own_error() {
    let ended = pool().run(&program(["yes"]), &mut no_input(), &mut Refusing(3), &mut |_: &[u8]| ()).await;
    let Err(RunError::Output(error)) = ended else { panic!("{ended:?}") };
    assert_eq!(error.to_string(), "full");
}

#[tokio::test]
async fn an_input_that_fails_ends_the_run_before_the_program_takes_it_for_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let finished = folder.path().join("finished");
    let script = format!("cat; : > {}", finished.display());
    let mut failing = stream::iter([Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("cut off"))]);
    let mut output = Vec::new();
    let ended = pool().run(&shell(&script), &mut failing, &mut output, &mut |_: &[u8]| ()).await;
    let Err(RunError::Input(error)) = ended else { panic!("{ended:?}") };
    assert_eq!(error.to_string(), "cut off");
    assert!(!finished.exists());
}

#[tokio::test]
async fn arguments_and_environment_arrive_byte_for_byte_and_nothing_else_does() {
    let arguments = ["", "two words", "\"quoted\" $HOME `id` *", "로그 📄", "line\nbreak"];
    let steps = ["print-arguments"].into_iter().chain(arguments);
    let (ended, output, _) = run(&pool(), &scripted(steps)).await;
    assert!(ended.unwrap().exit.success());
    assert_eq!(output, arguments.map(|argument| format!("{argument}\0")).concat().into_bytes());

    let mut program = program(["/usr/bin/env", "-0"]);
    let odd = std::ffi::OsString::from_vec(b"\xff =\n".to_vec());
    program.environment =
        vec![("TWICE".into(), "1".into()), ("TWICE".into(), "2".into()), ("ODD".into(), odd)];
    let (_, output, _) = run(&pool(), &program).await;
    let entries: Vec<&[u8]> = output.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()).collect();
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert!(entries.contains(&b"TWICE=2".as_slice()) && entries.contains(&b"ODD=\xff =\n".as_slice()));
    assert!(entries.iter().any(|entry| entry.starts_with(b"FANFOLD_PROCESS=")));
}

#[tokio::test]
async fn a_program_is_found_as_a_shell_would_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "#!/bin/sh\necho $0 in $(pwd)\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("first/tool", 0o644);
    write("second/tool", 0o755);
    let home = folder.path().canonicalize().unwrap();
    let mut program = program(["tool"]);
    program.directory = Some(home.clone());
    program.environment = vec![("PATH".into(), "nowhere:first:second:/usr/bin:/bin".into())];
    let (ended, output, _) = run(&pool(), &program).await;
    assert!(ended.unwrap().exit.success());
    assert_eq!(String::from_utf8(output).unwrap(), format!("second/tool in {}\n", home.display()));

    program.argv = vec!["./second/tool".into()];
    let (_, output, _) = run(&pool(), &program).await;
    assert_eq!(String::from_utf8(output).unwrap(), format!("./second/tool in {}\n", home.display()));
}

#[tokio::test]
async fn what_cannot_be_started_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.into_os_string()
    };
    let with_directory = |directory: &str| {
        let mut program = program(["true"]);
        program.directory = Some(directory.into());
        program
    };
    let with_variable = |name: &str, value: &str| {
        let mut program = program(["true"]);
        program.environment.push((name.into(), value.into()));
        program
    };
    let plain = file("plain", "#!/bin/sh\n", 0o644);
    let cases = [
        (program(Vec::<&str>::new()), "no program is named"),
        (program(["no-such-program"]), "\"no-such-program\" is in none of the folders of PATH"),
        (program(["./no/such"]), "\"./no/such\" does not exist"),
        (program([plain]), "chmod +x"),
        (program([folder.path()]), "may not be executed"),
        (
            program([file("orphan", "#!/no/interpreter\n", 0o755)]),
            "the interpreter that its first line names",
        ),
        (program([file("noise", "\u{1}\u{2}\u{3}", 0o755)]), "neither a script with a #! line nor a binary"),
        (program(["echo", "a\0b"]), "argument 1 (\"a\\0b\") contains a NUL byte"),
        (with_variable("A=B", "1"), "\"A=B\" cannot name an environment variable"),
        (with_variable("KEY", "\0"), "the value of the environment variable \"KEY\" contains a NUL byte"),
        (with_directory("/no/such/directory"), "working directory \"/no/such/directory\" does not exist"),
    ];
    for (program, expected) in cases {
        let (ended, ..) = run(&pool(), &program).await;
        let Err(RunError::Start(error)) = ended else { panic!("{program:?}: {ended:?}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
    let long = "x".repeat(200 << 10);
    let (ended, ..) = run(&pool(), &program(["echo", long.as_str()])).await;
    assert!(matches!(ended, Err(RunError::Start(StartError::System { .. }))), "{ended:?}");
}

#[tokio::test]
async fn the_environment_does_not_show_in_debug_output() {
    let mut program = program(["true"]);
    program.environment.push(("TOKEN".into(), "secret".into()));
    let shown = format!("{program:?}");
    assert!(shown.contains("TOKEN") && !shown.contains("secret"), "{shown}");
}

/// An output that is slow, and still must get everything.
struct Slow(Vec<u8>);

impl Output for Slow {
    type Error = Infallible;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.extend_from_slice(&bytes);
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_consumer_is_not_mistaken_for_a_descendant_that_holds_the_output() {
    let mut output = Slow(Vec::new());
    // The process is gone long before its output is taken, and the grace is over as well.
    let pool = harness::pool_of(1, Duration::from_millis(1));
    let ended =
        pool.run(&scripted(["write=1000000"]), &mut no_input(), &mut output, &mut |_: &[u8]| ()).await;
    assert!(ended.unwrap().exit.success());
    assert!(output.0 == pattern(1_000_000));
}

/// Sets a flag when so many lines have come.
struct Until {
    lines: usize,
    enough: usize,
    reached: Arc<AtomicBool>,
}

impl Output for Until {
    type Error = Infallible;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        self.lines += bytes.iter().filter(|&&byte| byte == b'\n').count();
        if self.lines >= self.enough {
            self.reached.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_program_whose_input_may_end_early_has_little_left_to_do_when_it_does() {
    // A line takes 50 ms, two are what may be ahead, and each is 100 bytes: 80 of them fit into the program's own buffer, and
    // 10,000 into its pipe.
    let line = format!("{}\n", "x".repeat(99));
    let reached = Arc::new(AtomicBool::new(false));
    let mut output = Until { lines: 0, enough: 10, reached: Arc::clone(&reached) };
    let mut input = EndingEarly::new(line.repeat(20_000), || reached.load(Ordering::SeqCst));
    let ended =
        pool().run(&scripted(["lines=50"]), &mut input, &mut output, &mut |_: &[u8]| ()).await.unwrap();
    assert_eq!((ended.exit, ended.input), (Exit::Code(0), InputEnd::AllFed));
    assert_eq!(output.lines, input.given.len() / line.len());
    // One that it had begun, one in the pipe, the two of the window, and one for a machine that stutters.
    assert!((10..=15).contains(&output.lines), "{} lines", output.lines);
}

#[tokio::test]
async fn a_program_that_closes_its_input_is_not_given_more_of_one_that_may_end_early() {
    let mut input = EndingEarly::new("line\n".repeat(1_000_000), || false);
    let mut output = Vec::new();
    let program = scripted(["echo=5", "close-input", "sleep-ms=30", "write=100"]);
    let ended = pool().run(&program, &mut input, &mut output, &mut |_: &[u8]| ()).await.unwrap();
    assert!(matches!(ended.input, InputEnd::StoppedReading { .. }), "{:?}", ended.input);
    assert_eq!(output, [b"line\n".as_slice(), &pattern(100)].concat());
    assert!(input.given.len() <= 100, "{} bytes given", input.given.len());
}
