//! RFC 8259, clause by clause, and against `serde_json` where the two must agree.
//!
//! `serde_json` differs in three ways, all known: it reads no deeper than 128 brackets into values (skipping a value has no such
//! limit), it does not check what an escape of a surrogate is followed by when it skips, and it sees UTF-8 only where it is asked
//! for text. So the comparison is with skipping over text that is UTF-8.

use fanfold_records::json::{
    Array, DEPTH_MAX, Found, JsonError, LineError, Lines, Mark, Validator, one_line,
};
use proptest::prelude::*;
use serde::de::IgnoredAny;

/// What a text is found to be if it comes in pieces of so many bytes.
fn validated(text: &[u8], piece_bytes: usize) -> Result<(), JsonError> {
    let mut validator = Validator::new();
    text.chunks(piece_bytes).try_for_each(|piece| validator.push(piece))?;
    validator.end()
}

/// The same for any size of the pieces, which must not matter.
fn verdict(text: &[u8]) -> Result<(), JsonError> {
    let whole = validated(text, text.len().max(1));
    for piece_bytes in [1, 2, 3, 7, 8, 9] {
        assert_eq!(validated(text, piece_bytes), whole, "{piece_bytes} of {}", text.escape_ascii());
    }
    whole
}

/// What stands between the brackets.
fn inside(text: &[u8], piece_bytes: usize) -> Result<Vec<u8>, JsonError> {
    let (mut array, mut inside) = (Array::new(), Vec::new());
    for piece in text.chunks(piece_bytes) {
        inside.extend_from_slice(&piece[array.take(piece)?]);
    }
    array.end().map(|()| inside)
}

fn lines(text: &[u8], piece_bytes: usize) -> Result<(), LineError> {
    let mut lines = Lines::new();
    text.chunks(piece_bytes).try_for_each(|piece| lines.push(piece))?;
    lines.end()
}

/// Values that each clause allows. Each is tried alone, as an element and as a member.
const VALUES: &[(&str, &[&[u8]])] = &[
    ("3: literal names", &[b"true", b"false", b"null"]),
    (
        "4: objects",
        &[
            b"{}",
            b"{ }",
            b"{\"\":0}",
            b"{\"a\":1,\"b\":2}",
            b"{\"a\":1,\"a\":2}",
            b"{\"\\u0061\\n\":{}}",
            b"{\r\n\t\"a\" :\t[ ] , \"b\": null }",
            b"{\"\xE4\xBD\xA0\":\"\xF0\x9F\x8E\xB2\"}",
        ],
    ),
    ("5: arrays", &[b"[]", b"[ ]", b"[1]", b"[1,\"2\",null,[],{}]", b"[[[[]]]]", b"[\n1\r\n,\t2 ]"]),
    (
        "6: numbers",
        &[
            b"0",
            b"-0",
            b"1",
            b"-1",
            b"10",
            b"1234567890",
            b"0.0",
            b"0.10",
            b"-0.5",
            b"1e1",
            b"1E1",
            b"1e+1",
            b"1e-1",
            b"0e0",
            b"0E-00",
            b"1.5e3",
            b"1.5E+003",
            b"-1.25e-2",
            b"1e999999999999",
            b"123456789012345678901234567890123456789012345678901234567890",
            b"0.000000000000000000000000000000000000000000000000000000000001",
        ],
    ),
    (
        "7: strings",
        &[
            b"\"\"",
            b"\" \"",
            b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
            b"\"\\u0000\\u00e9\\u00E9\\uFFFF\"",
            b"\"\\ud83c\\udfb2\"",
            b"\"\\ud800\"",
            b"\"\\udfb2\\ud83c\"",
            b"\"/\"",
            b"\"[{,:}]\"",
            b"\"\x7f\"",
            b"\"\xC3\xA9\"",
            b"\"\xE2\x80\xA8\xE2\x80\xA9\"",
            b"\"\xEF\xBF\xBF\"",
            b"\"\xF4\x8F\xBF\xBF\"",
            b"\"\xEF\xBB\xBF\"",
            b"\"long enough for more than one word of the scan\"",
        ],
    ),
];

/// A text that is not JSON, and its first byte that does not fit.
type Refused = (&'static [u8], u64);

/// Texts that each clause forbids.
const REFUSED: &[(&str, &[Refused])] = &[
    (
        "2: one value, six structural characters, four kinds of space",
        &[
            (b"", 0),
            (b" ", 1),
            (b"1 2", 2),
            (b"[] []", 3),
            (b"[]]", 2),
            (b"{}}", 2),
            (b"[]x", 2),
            (b"\x0C1", 0),
            (b"1\x0B", 1),
            (b"\xC2\xA01", 0),
            (b"[1]\0", 3),
            (b"//\n1", 0),
            (b"1/**/", 1),
            (b"#\n1", 0),
            (b"]", 0),
            (b"}", 0),
            (b",", 0),
            (b":", 0),
        ],
    ),
    (
        "3: literal names",
        &[
            (b"True", 0),
            (b"NULL", 0),
            (b"tru", 3),
            (b"[tru]", 4),
            (b"nul", 3),
            (b"nulll", 4),
            (b"falsy", 4),
            (b"[foo]", 2),
            (b"NaN", 0),
            (b"Infinity", 0),
            (b"undefined", 0),
            (b"truefalse", 4),
            (b"[t]", 2),
            (b"nan", 1),
            (b"fAlse", 1),
            (b"[true1]", 5),
        ],
    ),
    (
        "4: objects",
        &[
            (b"{", 1),
            (b"{,}", 1),
            (b"{\"a\"}", 4),
            (b"{\"a\":}", 5),
            (b"{\"a\":1,}", 7),
            (b"{\"a\" 1}", 5),
            (b"{a:1}", 1),
            (b"{'a':1}", 1),
            (b"{1:1}", 1),
            (b"{\"a\":1 \"b\":2}", 7),
            (b"{\"a\":1,,\"b\":2}", 7),
            (b"{\"a\",1}", 4),
            (b"{\"a\"::1}", 5),
            (b"{\"a\":1]", 6),
            (b"{\"a\":1", 6),
            (b"{\"a", 3),
            (b"{null:1}", 1),
            (b"{[]:1}", 1),
            (b"{\"a\":1:2}", 6),
            (b"{\"a\"", 4),
            (b"{\"a\":", 5),
            (b"{\"a\":1,", 7),
        ],
    ),
    (
        "5: arrays",
        &[
            (b"[", 1),
            (b"[1,]", 3),
            (b"[1,2,]", 5),
            (b"[,1]", 1),
            (b"[,]", 1),
            (b"[1,,2]", 3),
            (b"[1 2]", 3),
            (b"[1:2]", 2),
            (b"[\"a\" \"b\"]", 5),
            (b"[1}", 2),
            (b"[1", 2),
            (b"[1,", 3),
            (b"[[]", 3),
            (b"[1;2]", 2),
            (b"[[1]2]", 4),
            (b"[\"a\":1]", 4),
            (b"[[],]", 4),
            (b"[\"a\"", 4),
        ],
    ),
    (
        "6: numbers",
        &[
            (b"01", 1),
            (b"[01]", 2),
            (b"-01", 2),
            (b"00", 1),
            (b"-", 1),
            (b"[-]", 2),
            (b"--1", 1),
            (b"+1", 0),
            (b"1.", 2),
            (b"[1.]", 3),
            (b"[1.,2]", 3),
            (b".5", 0),
            (b"-.5", 1),
            (b"1.e1", 2),
            (b"1e", 2),
            (b"1e+", 3),
            (b"[1e-]", 4),
            (b"1e1.5", 3),
            (b"1ee1", 2),
            (b"1.2.3", 3),
            (b"0x1", 1),
            (b"1_000", 1),
            (b"1,000", 1),
            (b"1e+-1", 3),
            (b"-Infinity", 1),
            (b"0e", 2),
            (b"1a", 1),
            (b"[1-2]", 2),
            (b"\xEF\xBC\x91", 0),
            (b"1L", 1),
            (b"- 1", 1),
            (b"0.", 2),
            (b"0.e", 2),
        ],
    ),
    (
        "7: strings",
        &[
            (b"\"", 1),
            (b"\"a", 2),
            (b"'a'", 0),
            (b"\"a\nb\"", 2),
            (b"\"\t\"", 1),
            (b"\"\0\"", 1),
            (b"\"\x1F\"", 1),
            (b"\"12345678\x01\"", 9),
            (b"\"\\x41\"", 2),
            (b"\"\\a\"", 2),
            (b"\"\\'\"", 2),
            (b"\"\\0\"", 2),
            (b"\"\\U0041\"", 2),
            (b"\"\\u004\"", 6),
            (b"\"\\u00g1\"", 5),
            (b"\"\\u\"", 3),
            (b"\"\\", 2),
            (b"\"\\\"", 3),
            (b"\"\\\n\"", 2),
            (b"\"\\u+041\"", 3),
            (b"\"a\"b", 3),
            (b"\"\\u12", 5),
            (b"\"\\\xC3\xA9\"", 2),
        ],
    ),
    (
        "8.1: UTF-8, no byte order mark",
        &[
            (b"\xEF\xBB\xBF[]", 0),
            (b"\"\xFF\"", 1),
            (b"\"a\xC3\"", 2),
            (b"\"\xC3(\"", 1),
            (b"\"\x80\"", 1),
            (b"\"\xC0\xAF\"", 1),
            (b"\"\xE0\x80\xAF\"", 1),
            (b"\"\xED\xA0\x80\"", 1),
            (b"\"\xF4\x90\x80\x80\"", 1),
            (b"\"\xF0\x9F\x8E", 4),
            (b"\"12345678\xE9\"", 9),
            (b"[\0\"\0a\0\"\0]\0", 1),
            (b"\xFE\xFF\0[", 0),
            (b"{\"\xE9\":1}", 2),
        ],
    ),
];

#[test]
fn every_value_that_a_clause_allows_is_accepted() {
    for (clause, values) in VALUES {
        for value in *values {
            for [before, behind] in [
                ["", ""],
                [" \t\r\n", "\n "],
                ["[", "]"],
                ["[0, ", " ,0]"],
                ["{\"k\":", "}"],
                ["[[{\"a\": ", "}]]"],
            ] {
                let text = [before.as_bytes(), value, behind.as_bytes()].concat();
                assert_eq!(verdict(&text), Ok(()), "{clause}: {}", text.escape_ascii());
            }
        }
    }
}

#[test]
fn everything_that_a_clause_forbids_is_refused_with_the_byte() {
    for (clause, texts) in REFUSED {
        for (text, position) in *texts {
            let error = verdict(text).expect_err(&format!("{clause}: {}", text.escape_ascii()));
            assert_eq!(error.position, *position, "{clause}: {}: {error}", text.escape_ascii());
        }
    }
}

#[test]
fn messages_say_what_is_there_and_what_would_fit() {
    for (text, message) in [
        ("[1,2,]", "at byte 5 is ']', expected a value"),
        ("[", "at byte 1 is the end, expected a value or ']'"),
        ("[1 2]", "at byte 3 is '2', expected ',' or ']'"),
        ("\u{feff}[]", "at byte 0 is a byte order mark, which JSON does not have, expected a value"),
        ("\"a\tb\"", "at byte 2 is the byte 0x09, expected an escape, such as \\n or \\u0000, or '\"'"),
        ("{a:1}", "at byte 1 is 'a', expected a key in double quotes or '}'"),
        ("[tru]", "at byte 4 is ']', expected true, false or null"),
        ("[1] x", "at byte 4 is 'x', expected nothing more"),
    ] {
        assert_eq!(verdict(text.as_bytes()).unwrap_err().to_string(), message);
    }
}

#[test]
fn nesting_is_refused_beyond_the_limit_only() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| {
            let innermost = if open == "[" { "" } else { "1" };
            [open.repeat(depth), innermost.into(), close.repeat(depth)].concat()
        };
        assert_eq!(validated(nested(DEPTH_MAX).as_bytes(), 1 << 16), Ok(()));
        let error = validated(nested(DEPTH_MAX + 1).as_bytes(), 1 << 16).unwrap_err();
        assert!(error.to_string().contains(&DEPTH_MAX.to_string()), "{error}");
    }
}

#[test]
fn only_arrays_are_arrays() {
    for text in ["{}", "1", "\"[]\"", "null", "", "\u{feff}[]", "[1] 2", "[1][2]", "[01]", "[1"] {
        assert!(inside(text.as_bytes(), 2).is_err(), "{text}");
    }
    for (text, between) in
        [("[]", ""), (" [ \n] ", ""), ("[1]", "1"), ("\n[ [1] , {} ]\n", "[1] , {} "), ("[\"]\"]", "\"]\"")]
    {
        for piece_bytes in 1..8 {
            assert_eq!(inside(text.as_bytes(), piece_bytes).unwrap(), between.as_bytes(), "{text}");
        }
    }
}

#[test]
fn each_line_must_be_one_value() {
    for text in ["", "1", "1\n", "{\"a\": 1}\r\n [2] \n\"\\n\"", "null\nnull\n"] {
        for piece_bytes in 1..8 {
            assert_eq!(lines(text.as_bytes(), piece_bytes), Ok(()), "{text}");
        }
    }
    for (text, message) in [
        ("\n", "line 1, at byte 0, is blank"),
        ("1\n \t\n2", "line 2, at byte 2, is blank"),
        ("1\n\r\n", "line 2, at byte 2, is blank"),
        ("1\n ", "line 2, at byte 2, is blank"),
        ("1\n[2,\n3]", "line 2 ends at byte 5 within a JSON value, expected a value"),
        ("{\"a\":\n1}", "line 1 ends at byte 5 within a JSON value, expected a value"),
        ("\"a\nb\"", "line 1 ends at byte 2 within a JSON value, expected more of a string, or '\"'"),
        ("1\ntru", "line 2 ends at byte 5 within a JSON value, expected true, false or null"),
        ("1\n2 3\n", "line 2 is not one JSON value: at byte 4 is '3', expected nothing more"),
        ("[]\n{}\nx", "line 3 is not one JSON value: at byte 6 is 'x', expected a value"),
    ] {
        for piece_bytes in 1..8 {
            assert_eq!(lines(text.as_bytes(), piece_bytes).unwrap_err().to_string(), message, "{text}");
        }
    }
}

#[test]
fn a_value_on_one_line_keeps_all_bytes_but_white_space_between_tokens() {
    for (value, line) in [
        ("{\"a\": 1, \"a\": [ ]}", "{\"a\": 1, \"a\": [ ]}"),
        (
            "{\n  \"b\": -0.10,\r\n  \"a\": \" \\\" x\\\\\" ,\n \"a\":1E+2\n}",
            "{\"b\":-0.10,\"a\":\" \\\" x\\\\\",\"a\":1E+2}",
        ),
        ("[1,\r 2]", "[1,2]"),
        ("[\n\"\\\\\", \" \"]", "[\"\\\\\",\" \"]"),
    ] {
        assert_eq!(one_line(value), line);
    }
}

#[test]
fn cut_characters_end_where_the_string_ends() {
    let error = validated(b"\"\xF0\x9F\x8E\"", 3).unwrap_err();
    assert_eq!((error.found, error.expected), (Found::Byte(0xF0), "UTF-8"));
    assert_eq!(validated(b"\"\xF0\x9F\x8E\xB2\"", 3), Ok(()));
    assert!(validated(b"\"\xF0\x9F", 2).is_err());
}

/// JSON of any shape, as somebody may write it.
fn json() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", "", " ", "\n", "\t\r\n  "]);
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "true",
            "false",
            "null",
            "0",
            "-0",
            "1e5",
            "-12.50E-3",
            "{}",
            "[]",
            "\"\""
        ])
        .prop_map(String::from),
        any::<i64>().prop_map(|number| number.to_string()),
        "\"([ -!#-\\[\\]-~é你🎲]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,12}\"",
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let spaced =
            (space(), inner, space()).prop_map(|(before, value, behind)| format!("{before}{value}{behind}"));
        prop_oneof![
            prop::collection::vec(spaced.clone(), 1..5).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(spaced, 1..4).prop_map(|values| {
                let members: Vec<_> = values.iter().map(|value| format!(" \"k\" :{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// A change to one place of a text.
fn mutated(text: &str, place: usize, change: u8, with: char) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let place = place % (letters.len() + 1);
    match change {
        0 => letters.insert(place, with),
        1 if place < letters.len() => drop(letters.remove(place)),
        2 if place < letters.len() => letters[place] = with,
        3 if place + 1 < letters.len() => letters.swap(place, place + 1),
        _ => letters.truncate(place),
    }
    letters.into_iter().collect()
}

fn structural() -> impl Strategy<Value = char> {
    prop::sample::select("[]{},:\"\\ \n\t019-+.eEtfnu/\u{1}é🎲x".chars().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn mutations_get_the_verdict_that_serde_json_gives(
        text in json(), changes in prop::collection::vec((any::<usize>(), 0..5_u8, structural()), 0..3),
    ) {
        let text = changes.into_iter().fold(text, |text, (place, change, with)| mutated(&text, place, change, with));
        let accepted = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(verdict(text.as_bytes()).is_ok(), accepted, "{}", text);
    }

    #[test]
    fn bytes_are_json_only_if_they_are_utf_8(text in json(), place in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = text.into_bytes();
        let place = place % bytes.len();
        bytes[place] = byte;
        let accepted = std::str::from_utf8(&bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        prop_assert_eq!(verdict(&bytes).is_ok(), accepted);
    }

    #[test]
    fn an_array_comes_out_as_its_elements(values in prop::collection::vec(json(), 0..6), piece_bytes in 1..9_usize) {
        let between = values.join(",");
        prop_assert_eq!(inside(format!(" [ {between}] ").as_bytes(), piece_bytes).unwrap(), between.as_bytes());
    }

    #[test]
    fn marks_cut_an_array_into_its_elements(values in prop::collection::vec(json(), 1..6), piece_bytes in 1..9_usize) {
        let text = format!("[ {} ]", values.join(" , "));
        let (mut array, mut marks) = (Array::new(), Vec::new());
        for piece in text.as_bytes().chunks(piece_bytes) {
            let begin = array.position();
            array.walk(piece, |mark, at| marks.push((mark, begin + at as u64))).unwrap();
        }
        array.end().unwrap();
        let found: Vec<&str> = marks.chunks(2).map(|pair| match *pair {
            [(Mark::Element, from), (Mark::Comma | Mark::End, until)] => text[from as usize..until as usize].trim_end(),
            _ => panic!("{marks:?}"),
        }).collect();
        prop_assert_eq!(found, values.iter().map(|value| value.trim()).collect::<Vec<_>>());
        // From behind any comma, the rest has the same marks.
        for (number, (_, comma)) in marks.iter().enumerate().filter(|(_, (mark, _))| *mark == Mark::Comma) {
            let (mut rest, mut again) = (Array::behind_comma(comma + 1), Vec::new());
            rest.walk(&text.as_bytes()[*comma as usize + 1..], |mark, at| again.push((mark, comma + 1 + at as u64))).unwrap();
            rest.end().unwrap();
            prop_assert_eq!(&again, &marks[number + 1..]);
        }
    }

    #[test]
    fn values_are_lines_once_they_are_on_one(values in prop::collection::vec(json(), 0..6), piece_bytes in 1..9_usize) {
        let written: Vec<_> = values.iter().map(|value| one_line(value.trim()).into_owned()).collect();
        prop_assert_eq!(lines(written.join("\n").as_bytes(), piece_bytes), Ok(()));
        for (line, value) in written.iter().zip(&values) {
            prop_assert!(!line.contains(['\n', '\r']));
            let tokens = |text: &str| text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect::<String>();
            prop_assert_eq!(tokens(line), tokens(value));
        }
        let is_on_one_line = |value: &String| !value.trim().contains('\n');
        let accepted = lines(values.join("\n").as_bytes(), piece_bytes).is_ok();
        let ends_clean = values.iter().all(|value| !value.starts_with('\n') && !value.ends_with('\n'));
        if ends_clean {
            prop_assert_eq!(accepted, values.iter().all(is_on_one_line));
        }
    }
}
