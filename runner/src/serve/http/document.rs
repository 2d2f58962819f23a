//! The OpenAPI document, made of the same handlers that answer.

use super::api::Api;
use super::{definitions, devices, events, explain, holds, limit, repins, runs, system, triggers};
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
    description = "Runs of transfer workflows: start, watch and steer them. Errors are problems (RFC 9457) with stable codes.",
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
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::retry))
        .routes(routes!(runs::repin))
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
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description("More requests than the rate limit allows").content(JSON, problem).build()
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
