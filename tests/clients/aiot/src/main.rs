//! A device with the crate `aiot`, which nobody here wrote: `aiot-client HOST:PORT PRODUCT DEVICE FILE` uploads one file and says
//! `uploaded NAME`. Whatever goes wrong ends it with 1: the crate itself would wait for ever.

use aiot::{MqttClient, ThreeTuple};
use rumqttc::MqttOptions;
use std::process::ExitCode;
use std::time::Duration;

/// More than any upload of the tests takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [broker, product, device, file] = arguments.as_slice() else {
        eprintln!("usage: aiot-client HOST:PORT PRODUCT DEVICE FILE");
        return ExitCode::from(2);
    };
    let ended = tokio::time::timeout(PATIENCE, upload(broker, product, device, file)).await;
    match ended.unwrap_or_else(|_| Err("no end".to_owned())) {
        Ok(name) => {
            println!("uploaded {name}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn upload(broker: &str, product: &str, device: &str, file: &str) -> Result<String, String> {
    let (host, port) = broker.rsplit_once(':').ok_or("a broker is HOST:PORT")?;
    let port = port.parse::<u16>().map_err(|_| "a port is a number")?;
    let three = ThreeTuple {
        product_key: product.to_owned(),
        device_name: device.to_owned(),
        device_secret: "secret".to_owned(),
    };
    let words = |error: aiot::Error| format!("{error:?}");
    let mut client = MqttClient::new_public("localhost", &three).map_err(words)?;
    client.options = MqttOptions::new(device, host, port);
    let mut connection = client.connect();
    let uploader = connection.file_uploader().map_err(words)?;
    uploader.init().await.map_err(words)?;
    let mut upload = std::pin::pin!(uploader.upload(file));
    loop {
        tokio::select! {
            event = connection.poll() => {
                event.map_err(words)?;
            }
            name = &mut upload => return name.map_err(words),
        }
    }
}
