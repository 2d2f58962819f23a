//! MQTT messages of workflows.

use super::World;
use crate::bus::{BusError, Delivery, Message, Qos, Subscription};
use packhorse_core::effect::{MessageReply, MqttRequest, Outcome, PublishRequest, Reply, WaitRequest};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::transfer::Qos as RouteQos;
use std::time::Instant;

impl World {
    /// Queues the message; waits while the bus is full. What the broker does with it is not known (QoS 1 is one hop).
    pub(super) async fn publish(&self, request: PublishRequest) -> Outcome {
        let message = message(request);
        loop {
            match self.bus.publish(message.clone()) {
                Ok(()) => return Ok(Reply::Done),
                Err(BusError::Busy) => self.bus.ready().await,
                Err(error) => return Err(refused(&error)),
            }
        }
    }

    /// Subscribes, and takes the first message that comes after that.
    pub(super) async fn wait(&self, request: WaitRequest) -> Outcome {
        let topic = &request.topic;
        let came = tokio::time::timeout(request.wait, async {
            let mut messages = self.bus.subscribe(topic, Qos::AtLeastOnce).await.map_err(|error| refused(&error))?;
            fresh(&mut messages).await
        });
        came.await.unwrap_or_else(|_| {
            let message = format!("no message on {topic} within {:?}", request.wait);
            Err(Failure::new("PH5301", Class::Transient, message)
                .hint("set `wait` longer, or look whether anybody sends"))
        })
    }

    /// Subscribes to the answer's topic, asks, and takes the first message that comes after that.
    pub(super) async fn request(&self, request: MqttRequest) -> Outcome {
        let (topic, question) = (request.reply_topic.clone(), request.publish.topic.clone());
        let asked = Instant::now();
        let answered = tokio::time::timeout(request.wait, async {
            let mut answers = self.bus.subscribe(&topic, Qos::AtLeastOnce).await.map_err(|error| refused(&error))?;
            self.publish(request.publish).await?;
            fresh(&mut answers).await
        });
        match answered.await {
            Ok(answer) => answer,
            Err(_) => {
                if let Some(error) = self.bus.refusal(&question, asked) {
                    return Err(refused(&error));
                }
                let message = format!("no answer on {topic} within {:?}", request.wait);
                Err(Failure::new("PH5301", Class::Transient, message)
                    .hint("set `wait` longer, or look whether the other end listens"))
            }
        }
    }
}

/// The next message that was not kept by the broker: such a one is older than the question.
async fn fresh(messages: &mut Subscription) -> Outcome {
    loop {
        match messages.recv().await {
            Some(delivery) if delivery.message.retain => {}
            Some(Delivery { message, .. }) => {
                let (topic, payload) = (message.topic.to_string(), message.payload.to_vec());
                return Ok(Reply::Message(MessageReply { topic, payload }));
            }
            None => return Err(refused(&BusError::Closed)),
        }
    }
}

fn message(request: PublishRequest) -> Message {
    let qos = match request.qos {
        RouteQos::AtMostOnce => Qos::AtMostOnce,
        RouteQos::AtLeastOnce => Qos::AtLeastOnce,
    };
    let message = Message::new(request.topic, request.payload).with_qos(qos);
    if request.retain { message.retained() } else { message }
}

fn refused(error: &BusError) -> Failure {
    error.failure()
}
