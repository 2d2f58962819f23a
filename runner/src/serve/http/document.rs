//! The OpenAPI document, made of the same handlers that answer.

use super::api::Api;
use super::{definitions, devices, events, explain, holds, limit, repins, runs, steer, system, triggers};
use axum::Router;
use utoipa::OpenApi as _;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Packhorse",
    description = "Runs of transfer workflows: start, watch and steer them. Errors are problems (RFC 9457) with stable codes; every answer has \
        its number in the header `X-Request-Id`, and a problem tells it too. Where the daemon has tokens, every operation with `security` wants one \
        as bearer that has the scope named there. Where it has none, it listens on its own machine alone, and wants none. A head that is \
        larger than 16 KiB or is no HTTP is answered 431 or 400 without a body.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Head;

fn parts() -> (Router<Api>, OpenApi) {
    let head = Head::openapi();
    OpenApiRouter::with_openapi(head)
        .routes(routes!(runs::start, runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::journal))
        .routes(routes!(events::events))
        .routes(routes!(steer::cancel))
        .routes(routes!(steer::pause))
        .routes(routes!(steer::resume))
        .routes(routes!(steer::retry))
        .routes(routes!(steer::repin))
        .routes(routes!(repins::repin))
        .routes(routes!(explain::explain))
        .routes(routes!(holds::holds, holds::hold))
        .routes(routes!(holds::release))
        .routes(routes!(definitions::workflows))
        .routes(routes!(definitions::workflow))
        .routes(routes!(definitions::plugins))
        .routes(routes!(definitions::plugin))
        .routes(routes!(devices::devices))
        .routes(routes!(devices::device))
        .routes(routes!(definitions::reload))
        .routes(routes!(triggers::triggers))
        .routes(routes!(triggers::trigger))
        .routes(routes!(triggers::dead_letters))
        .routes(routes!(triggers::dead_letter))
        .routes(routes!(triggers::retry_dead_letter))
        .routes(routes!(system::health))
        .routes(routes!(system::ready))
        .routes(routes!(system::metrics))
        .routes(routes!(system::openapi))
        .split_for_parts()
}

/// All routes.
pub(super) fn router() -> Router<Api> {
    parts().0
}

/// What the routes take and give.
pub fn document() -> OpenApi {
    let mut document = parts().1;
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_with(Default::default).add_security_scheme("bearer", bearer);
    tell_limits(&mut document);
    tell_common(&mut document);
    tell_problems(&mut document);
    document
}

/// Every route below `/v1` may be asked too often; the others are not counted.
fn tell_limits(document: &mut OpenApi) {
    let paths = document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/v1/")).map(|(_, item)| item);
    for operation in paths.flat_map(|path| [&mut path.get, &mut path.post, &mut path.delete]).flatten() {
        let known = operation.responses.responses.entry("429".to_owned());
        let known = known.or_insert_with(|| RefOr::T(too_often()));
        if let RefOr::T(response) = known {
            response.headers.extend(headers());
        }
    }
}

fn too_often() -> Response {
    problem("More requests than the rate limit allows")
}

fn problem(description: &str) -> Response {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description(description).content(JSON, problem).build()
}

/// What may happen to every request of a kind, before its handler is asked.
fn tell_common(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for (operation, reads) in [(&mut item.get, false), (&mut item.post, true), (&mut item.delete, true)] {
            let Some(operation) = operation else { continue };
            let has_parts = reads || operation.parameters.is_some();
            let mut tell = |status: &str, words: &str| {
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(words)));
            };
            if has_parts {
                tell("400", "The path, the query or the body cannot be read");
            }
            tell("504", "The answer took longer than a minute; what was to be changed may still be");
            if reads {
                tell("408", "The body did not come in time");
                tell("413", "The body has more than 256 KiB");
            }
        }
    }
}

fn headers() -> [(String, RefOr<Header>); 3] {
    let header = |name: &str, kind: Type, about: &str| {
        let mut header = Header::new(Object::with_type(kind));
        header.description = Some(about.to_owned());
        (name.to_owned(), RefOr::T(header))
    };
    [
        header("Retry-After", Type::Integer, "Seconds to wait"),
        header(
            limit::LIMIT,
            Type::String,
            "Requests that may still come at once (`r`), and seconds until all may (`t`)",
        ),
        header(
            limit::POLICY,
            Type::String,
            "Requests that may come at once (`q`), and seconds in which that is so again (`w`)",
        ),
    ]
}

/// Problems have a content type of their own (RFC 9457, 3).
fn tell_problems(document: &mut OpenApi) {
    let operations =
        document.paths.paths.values_mut().flat_map(|path| [&mut path.get, &mut path.post, &mut path.delete]);
    for response in operations.flatten().flat_map(|operation| operation.responses.responses.values_mut()) {
        let RefOr::T(response) = response else { continue };
        if is_problem(response)
            && let Some(content) = response.content.swap_remove(JSON)
        {
            response.content.insert(PROBLEM.to_owned(), content);
        }
    }
}

fn is_problem(response: &Response) -> bool {
    let Some(RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. })) = response.content.get(JSON) else {
        return false;
    };
    schema.ref_location.ends_with("/Problem")
}
