//! Why a connection failed: rumqttc's errors and reason codes as ours.

use std::sync::Arc;

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError};

use super::{BusError, Settings};

/// Whatever rumqttc says went wrong.
pub(super) fn translate(settings: &Settings, error: ConnectionError) -> BusError {
    let address = settings.address();
    let (reason, source) = match error {
        ConnectionError::ConnectionRefused(code) => {
            let (reason, transient) = refusal(code);
            return BusError::Refused { address, reason: reason.to_owned(), transient };
        }
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::SessionTakenOver,
            ..
        }) => return BusError::TakenOver { address, client_id: settings.client_id.clone() },
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            let detail = reason_string.map(|text| format!(" ({text:?})")).unwrap_or_default();
            (format!("it ended the connection: {reason_code:?}{detail}"), None)
        }
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            ("the connection failed".to_owned(), Some(Arc::new(error)))
        }
        ConnectionError::Timeout(_) => ("no answer in time".to_owned(), None),
        ConnectionError::MqttState(StateError::ConnectionAborted) => ("it closed the connection".to_owned(), None),
        ConnectionError::MqttState(StateError::AwaitPingResp) => ("it does not answer pings".to_owned(), None),
        other => (other.to_string(), None),
    };
    BusError::Connection { address, reason, source }
}

/// What we ourselves found wrong.
pub(super) fn broken(settings: &Settings, reason: &str) -> BusError {
    BusError::Connection { address: settings.address(), reason: reason.to_owned(), source: None }
}

/// A refused CONNECT in words, and whether a later attempt may fare better.
fn refusal(code: ConnectReturnCode) -> (&'static str, bool) {
    use ConnectReturnCode as Code;
    match code {
        Code::BadUserNamePassword => ("wrong user name or password", false),
        Code::NotAuthorized => ("not authorized", false),
        Code::Banned => ("this client is banned", false),
        Code::BadAuthenticationMethod => ("the authentication method is not supported", false),
        Code::BadClientId | Code::ClientIdentifierNotValid => ("the client id is not allowed", false),
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => ("it does not speak MQTT 5", false),
        Code::PacketTooLarge => ("our CONNECT packet is too large for it", false),
        Code::ServerMoved | Code::UseAnotherServer => ("it names another server", false),
        Code::MalformedPacket | Code::ProtocolError => ("it does not understand our CONNECT packet", false),
        Code::ServiceUnavailable | Code::ServerUnavailable => ("the server is unavailable", true),
        Code::ServerBusy => ("the server is busy", true),
        Code::QuotaExceeded => ("quota exceeded", true),
        Code::ConnectionRateExceeded => ("too many connections a second", true),
        Code::Success
        | Code::UnspecifiedError
        | Code::ImplementationSpecificError
        | Code::TopicNameInvalid
        | Code::PayloadFormatInvalid
        | Code::RetainNotSupported
        | Code::QoSNotSupported => ("no reason given", true),
    }
}
