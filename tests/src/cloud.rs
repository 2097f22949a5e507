//! CloudFormation and CloudWatch Logs as far as the command line asks them: an HTTP server that gives recorded answers.
//!
//! It understands nothing: a test says which answer belongs to which request. The answers have the form of those
//! services' API references. What the services themselves make of our requests is not shown by it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The operation, such as `DescribeStacks`.
    pub operation: String,
    /// The body: a form, or JSON.
    pub body: String,
    /// Who signed it: the header `authorization`.
    pub authorization: String,
}

impl Asked {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{}: {error}", self.body))
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A stack with these outputs: name, value, description.
    pub fn stack(outputs: &[(&str, &str, &str)]) -> Self {
        let outputs: String = outputs
            .iter()
            .map(|(key, value, description)| {
                format!(
                    "<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue><Description>{description}</Description></member>"
                )
            })
            .collect();
        let body = format!(
            "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
             <DescribeStacksResult><Stacks><member><StackName>Fanfold</StackName>\
             <StackId>arn:aws:cloudformation:us-east-1:123456789012:stack/Fanfold/c9b5a7f0</StackId>\
             <CreationTime>2026-11-20T05:06:07Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>\
             <DisableRollback>false</DisableRollback><Outputs>{outputs}</Outputs></member></Stacks>\
             </DescribeStacksResult><ResponseMetadata><RequestId>b9b4b068</RequestId></ResponseMetadata>\
             </DescribeStacksResponse>"
        );
        Self { status: 200, body }
    }

    /// A refusal of CloudFormation.
    pub fn refusal(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>b9b4b068</RequestId></ErrorResponse>"
        );
        Self { status, body }
    }

    /// A page of log events: event id, time in milliseconds, message; and what the next page is asked for with.
    pub fn log_events(events: &[(&str, i64, &str)], next: Option<&str>) -> Self {
        let events: Vec<Value> = events
            .iter()
            .map(|(id, at_ms, message)| {
                json!({
                    "eventId": id, "timestamp": at_ms, "ingestionTime": at_ms + 900, "message": message,
                    "logStreamName": "2026/11/22/[$LATEST]4f1c"
                })
            })
            .collect();
        let mut page = json!({ "events": events, "searchedLogStreams": [] });
        if let Some(next) = next {
            page["nextToken"] = json!(next);
        }
        Self { status: 200, body: page.to_string() }
    }

    /// A refusal of CloudWatch Logs.
    pub fn log_refusal(status: u16, code: &str, message: &str) -> Self {
        Self { status, body: json!({ "__type": code, "message": message }).to_string() }
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Cloud {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cloud {
    /// Starts a server that answers as `answer` says: it is given the requests so far, this one last.
    pub fn start(answer: impl Fn(&[Asked]) -> Answer + Send + 'static) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("a port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("the port: {error}"));
        let (asked, stopping) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (all, end) = (Arc::clone(&asked), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // A client may go away at any time.
                if let Ok(stream) = stream {
                    let _served = serve(&stream, &all, &answer);
                }
            }
        });
        Self { address, asked, stopping, thread: Some(thread) }
    }

    /// The variables that lead every AWS client here.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        let endpoint = format!("http://{}", self.address);
        [
            ("AWS_ENDPOINT_URL_CLOUDFORMATION", endpoint.clone()),
            ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", endpoint),
            ("AWS_ACCESS_KEY_ID", "cloud".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "cloud-secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _stopped = thread.join();
        }
    }
}

/// Serves one request; the connection is closed behind it.
fn serve(
    stream: &TcpStream,
    all: &Mutex<Vec<Asked>>,
    answer: &impl Fn(&[Asked]) -> Answer,
) -> std::io::Result<()> {
    let asked = read(&mut BufReader::new(stream))?;
    let Answer { status, body } = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked);
        answer(&all)
    };
    let length = body.len();
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
    stream.flush()
}

fn read(request: &mut impl BufRead) -> std::io::Result<Asked> {
    let (mut length, mut operation, mut authorization) = (0, None, String::new());
    loop {
        let mut line = String::new();
        request.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or_default(),
            "x-amz-target" => operation = value.rsplit('.').next().map(str::to_owned),
            "authorization" => value.clone_into(&mut authorization),
            _ => {}
        }
    }
    let mut body = String::new();
    request.take(length).read_to_string(&mut body)?;
    let of_form = || body.split('&').find_map(|field| field.strip_prefix("Action=")).map(str::to_owned);
    Ok(Asked { operation: operation.or_else(of_form).unwrap_or_default(), authorization, body })
}
