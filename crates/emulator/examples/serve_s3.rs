//! Serves S3 from a folder until it is killed: `serve_s3 FOLDER [PORT]`. Access key and secret are both `fanfold`.

use fanfold_emulator::s3::{Config, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().ok_or("usage: serve_s3 FOLDER [PORT]")?.into();
    let port = arguments.next().map_or(Ok(0), |port| port.parse::<u16>())?;
    let address = ([127, 0, 0, 1], port).into();
    let (access_key_id, secret_access_key) = ("fanfold".into(), "fanfold".into());
    let server =
        Server::start(Config { data, address, access_key_id, secret_access_key, region: "us-east-1".into() })
            .await?;
    println!("{}", server.endpoint());
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
