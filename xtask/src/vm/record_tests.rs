use super::*;

const LINES: [&str; 6] = [
    r#"{"type":"probe","v":1,"name":"sends and receives","outcome":"warn","detail":"fexit","hint":"x"}"#,
    r#"{"type":"probe","v":1,"name":"program inet_send","outcome":"ok","detail":"12120 instructions verified, loaded in 81000 µs","hint":null}"#,
    r#"{ "type": "test", "event": "started", "name": "a::one" }"#,
    r#"{ "type": "test", "name": "a::one", "event": "ok" }"#,
    r#"{ "type": "test", "name": "a::two", "event": "failed", "stdout": "Error: \"it\nbroke\"\n" }"#,
    r#"{ "type": "test", "event": "started", "name": "b::three" }"#,
];

fn run() -> Run {
    let mut run = Run::default();
    for line in LINES {
        let _ = run.take(line, Duration::ZERO);
    }
    run
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn lines_become_results() {
    let mut run = run();
    assert_eq!(run.take("random: crng init done", Duration::ZERO), None);
    assert_eq!(run.way, "fexit");
    assert_eq!(
        run.programs["inet_send"],
        Figure {
            instructions: Some(12120),
            load_us: 81000
        }
    );
    assert_eq!(run.tests["a::one"], Ok(()));
    assert!(run.tests["a::two"].is_err());
}

#[test]
fn what_did_not_come_to_its_end_failed() {
    let mut run = run();
    let wanted = names(&["a::one", "a::two", "b::three", "b::four"]);
    run.finish(&wanted, &End::Broken("silent".to_owned()));
    assert_eq!(run.tests["b::three"], Err("silent".to_owned()));
    let failures: Vec<String> = run.failures().collect();
    assert_eq!(
        failures,
        [
            "a::two: it",
            "b::four: not run: the machine ended before",
            "b::three: silent"
        ]
    );
}

#[test]
fn a_test_that_was_left_out_failed() {
    let mut run = Run::default();
    let _ = run.take(
        r#"{ "type": "test", "name": "a::one", "event": "ignored" }"#,
        Duration::ZERO,
    );
    run.finish(&names(&["a::one", "a::two"]), &End::Complete);
    assert_eq!(run.failures().count(), 2);
}

#[test]
fn a_program_without_its_number_has_a_time() {
    let figure = figure("? instructions verified, loaded in 5 µs").unwrap();
    assert_eq!((figure.instructions, figure.load_us), (None, 5));
    assert!(super::figure("hooks").is_none());
}

#[test]
fn a_record_is_read_as_written_and_merged() {
    let mut record = Record::default();
    assert!(record.merge("6.1", "6.1.0-1", run()).is_empty());
    let read = Record::parse(&record.value().to_string()).unwrap();
    assert_eq!(read.value(), record.value());
    // Another test of the same kernel is added; a program is gone.
    let mut other = Run::default();
    let _ = other.take(
        r#"{ "type": "test", "name": "b::four", "event": "ok" }"#,
        Duration::ZERO,
    );
    assert_eq!(
        record.merge("6.1", "6.1.0-1", other),
        ["program inet_send no longer loads"]
    );
    assert_eq!(record.kernels["6.1"].tests.len(), 3);
    // A newer kernel begins anew.
    assert!(record.merge("6.1", "6.1.0-2", run()).is_empty());
    assert_eq!(record.kernels["6.1"].tests.len(), 2);
}

#[test]
fn programs_and_names() {
    let messages = "{\"reason\":\"x\",\"target\":{\"kind\":[\"lib\"]},\"executable\":null}\n\
                    {\"target\":{\"kind\":[\"test\"]},\"executable\":\"/t/e2e-1\"}\n";
    assert_eq!(executable(messages).as_deref(), Some("/t/e2e-1"));
    assert_eq!(
        listed("a::one: test\n[skipped: needs root] a::two: test\n\n2 tests\n"),
        ["a::one", "a::two"]
    );
}

#[test]
fn each_test_says_how_long_it_took() {
    let mut run = Run::default();
    let at = Duration::from_secs;
    assert_eq!(run.take(LINES[2], at(20)), None);
    let said = run.take(LINES[3], at(29));
    assert_eq!(said.as_deref(), Some("  a::one ok, 9 s"));
    assert_eq!(run.seconds, 29);
}

#[test]
fn a_part_of_the_tests_does_not_say_how_long_all_take() {
    let mut record = Record::default();
    let whole = |line: &str, seconds| {
        let mut run = Run::default();
        let _ = run.take(line, Duration::from_secs(seconds));
        run
    };
    let mut all = whole(LINES[3], 100);
    let _ = all.take(LINES[4], Duration::from_secs(200));
    let _ = record.merge("6.1", "6.1.0", all);
    let _ = record.merge("6.1", "6.1.0", whole(LINES[3], 30));
    assert_eq!(record.kernels["6.1"].seconds, 200);
}

#[test]
fn tests_that_are_gone_have_no_result() {
    let mut record = Record::default();
    let mut run = run();
    run.finish(&names(&["a::old"]), &End::Complete);
    let _ = record.merge("6.1", "6.1.0", run);
    record.keep_only("6.1", &names(&["a::one", "a::new"]));
    let kept: Vec<&String> = record.kernels["6.1"].tests.keys().collect();
    assert_eq!(kept, ["a::one"]);
}
