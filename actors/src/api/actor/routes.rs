//! Which path and method leads where, as warp's filters.

use super::http::From;
use super::{Api, reply};
use crate::api::Problem;
use http::Method;
use std::convert::Infallible;
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection};

static READ: [Method; 2] = [Method::GET, Method::HEAD];
/// HAProxy asks with OPTIONS unless it is told otherwise.
static CHECK: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];
static CHANGE: [Method; 1] = [Method::POST];

const PATHS: &str = "GET /health /primary /replica /node /cluster /history /requests/{id}, \
                     POST /switchover /failover/pause /failover/resume";

/// The path is right and the method is not.
#[derive(Debug)]
struct WrongMethod(&'static [Method]);

impl warp::reject::Reject for WrongMethod {}

/// Everything that is answered.
pub(super) type Routes = BoxedFilter<(Response,)>;

/// Puts it together.
pub(super) fn routes(api: &Arc<Api>) -> Routes {
    let checks = check(api, "health", Api::health).or(check(api, "primary", Api::primary)).unify();
    let checks = checks.or(check(api, "replica", Api::replica)).unify();
    let pages = read(api, "node", Api::node).or(read(api, "cluster", Api::cluster)).unify();
    let pages = pages.or(read(api, "history", Api::history)).unify();
    let reads = checks.or(pages).unify().or(request(api)).unify().boxed();
    let changes = switchover(api).or(pause(api, "pause", true)).unify().or(pause(api, "resume", false)).unify().boxed();
    reads.or(changes).unify().recover(explain).unify().boxed()
}

fn check(api: &Arc<Api>, name: &'static str, answer: fn(&Api) -> Response) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    let path = warp::path(name).and(warp::path::end()).and(only(&CHECK));
    path.map(move |method| {
        let response = answer(&api);
        if method == Method::OPTIONS { reply::bare(&response, &CHECK) } else { response }
    })
    .boxed()
}

fn read(api: &Arc<Api>, name: &'static str, answer: fn(&Api) -> Response) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path(name).and(warp::path::end()).and(only(&READ)).map(move |_| answer(&api)).boxed()
}

fn request(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("requests" / String).and(only(&READ)).map(move |id: String, _| api.request(&id)).boxed()
}

fn switchover(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    let call = warp::path("switchover").and(warp::path::end()).and(only(&CHANGE)).and(sender()).and(warp::body::stream());
    call.then(move |_, from, head, body| {
        let api = Arc::clone(&api);
        async move { reply::outcome(api.switchover(from, &head, body).await) }
    })
    .boxed()
}

fn pause(api: &Arc<Api>, name: &'static str, paused: bool) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    let path = warp::path("failover").and(warp::path(name)).and(warp::path::end()).and(only(&CHANGE));
    path.and(sender())
        .and(warp::body::stream())
        .then(move |_, from, head, body| {
            let api = Arc::clone(&api);
            async move { reply::outcome(api.pause(paused, from, &head, body).await) }
        })
        .boxed()
}

fn sender() -> impl Filter<Extract = (From, http::HeaderMap), Error = Rejection> + Copy {
    warp::ext::get::<From>().and(warp::header::headers_cloned())
}

fn only(allowed: &'static [Method]) -> impl Filter<Extract = (Method,), Error = Rejection> + Copy {
    warp::method().and_then(move |method: Method| {
        let answer = if allowed.contains(&method) { Ok(method) } else { Err(warp::reject::custom(WrongMethod(allowed))) };
        std::future::ready(answer)
    })
}

async fn explain(rejection: Rejection) -> Result<Response, Infallible> {
    let response = if let Some(WrongMethod(allowed)) = rejection.find() {
        let problem = Problem::new(405, "wrong_method", "this path takes other methods, which the header `Allow` names");
        reply::allowing(reply::problem(&problem), allowed)
    } else if rejection.is_not_found() {
        reply::problem(&Problem::new(404, "not_found", format!("nothing is here; there are {PATHS}")))
    } else {
        tracing::debug!(?rejection, "a request was not understood");
        reply::problem(&Problem::new(400, "malformed", "the request was not understood"))
    };
    Ok(response)
}
