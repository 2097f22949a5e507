//! The flags that say what a record is.

use clap::Args;

/// What the flags stand under in the help: of each by itself, since a heading of the struct would be that of what follows it too.
const HEADING: &str = "What a record is";

/// What a record is, as typed.
#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    /// What a record is: `lines`; `csv` (a line end within quotes ends none); `tsv` (tabs, no quotes); `jsonl`; `paragraphs`
    /// (separated by blank lines); `none` (a file is never split); `sep:TEXT` (ends with this text); `begins:TEXT` (begins with a
    /// line that begins with it, as `begins:>` for FASTA); `lines:N` (N lines, as `lines:4` for FASTQ). In a TEXT, \n, \r, \t, \0
    /// and \\ stand for what they do.
    #[arg(help_heading = HEADING, long, default_value = "lines", value_name = "WHAT")]
    pub(crate) split: String,
    /// The first record of each file is a header, or the first N are. Every process gets it first.
    #[arg(help_heading = HEADING, long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    pub(crate) header: Option<u64>,
    /// For csv: what stands between two fields [default: a comma, a semicolon, a tab or a bar, as the first records have it]
    #[arg(help_heading = HEADING, long, value_name = "CHAR")]
    pub(crate) delimiter: Option<String>,
    /// For csv: what stands around a field that may hold delimiters and line ends [default: "]
    #[arg(help_heading = HEADING, long, value_name = "CHAR", conflicts_with = "no_quote")]
    pub(crate) quote: Option<String>,
    /// For csv: no field is quoted.
    #[arg(help_heading = HEADING, long)]
    pub(crate) no_quote: bool,
    /// For csv: what makes the next character a letter, a quote or a line end too [default: none]
    #[arg(help_heading = HEADING, long, value_name = "CHAR", conflicts_with = "no_escape", allow_hyphen_values = true)]
    pub(crate) escape: Option<String>,
    /// For csv: nothing does, though a file may look so.
    #[arg(help_heading = HEADING, long)]
    pub(crate) no_escape: bool,
    /// For csv: what begins a line that is no record [default: there are no such lines]
    #[arg(help_heading = HEADING, long, value_name = "CHAR")]
    pub(crate) comment: Option<String>,
    /// For csv: how many lines stand before the header, or before the first record. Every process gets those of the first file.
    #[arg(help_heading = HEADING, long, value_name = "N")]
    pub(crate) skip_lines: Option<u64>,
    /// What ends a line: `lf` (with or without a CR before it), `cr`, or `auto`: CR where the first bytes have no LF.
    #[arg(help_heading = HEADING, long, value_name = "END", value_parser = ["auto", "lf", "cr"])]
    pub(crate) line_end: Option<String>,
}
