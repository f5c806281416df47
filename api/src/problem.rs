//! Errors as `application/problem+json` (RFC 9457): the one place where a failure becomes a status.

mod catalogue;

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use trunkline_boot::random::random_bytes;
use utoipa::ToSchema;

/// An answer that is not a success. Boxed, because it travels through every `Result`.
#[derive(Debug)]
pub(crate) struct Problem(Box<Facts>);

#[derive(Debug)]
struct Facts {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    field: Option<String>,
    /// More than one field, or places in one.
    errors: Vec<FieldProblem>,
    /// Drawn when the problem is met, so that the log line of a fault and its answer share it.
    request_id: String,
    headers: Vec<(HeaderName, String)>,
}

/// What went wrong, for people (`title`, `detail`) and for programs (`status`, `code`).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Names the kind of problem; it is not meant to be opened.
    #[schema(example = "urn:trunkline:problem:not_found")]
    r#type: String,
    /// The kind of problem, in words.
    title: &'static str,
    /// The answer's status.
    status: u16,
    /// What to do about it.
    detail: String,
    /// The kind of problem, stable, in snake_case.
    code: &'static str,
    /// Names this very answer in our logs.
    request_id: String,
    /// The fields that were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

/// A field that was refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// Its name, or its place as a JSON pointer.
    pub(crate) field: String,
    /// What would be accepted.
    pub(crate) detail: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let request_id = format!("req_{}", hex::encode(random_bytes::<12>()));
        let (detail, field, errors, headers) = (detail.into(), None, Vec::new(), Vec::new());
        Self(Box::new(Facts { status, code, title, detail, field, errors, request_id, headers }))
    }

    fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    fn on(mut self, field: Option<&str>) -> Self {
        self.0.field = field.map(str::to_owned);
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        let facts = &self.0;
        let errors = facts.field.clone().map(|field| FieldProblem { field, detail: facts.detail.clone() });
        let mut response = HttpResponse::build(facts.status);
        for (name, value) in &facts.headers {
            response.insert_header((name.clone(), value.as_str()));
        }
        response
            .insert_header((CONTENT_TYPE, "application/problem+json"))
            .insert_header(("x-request-id", facts.request_id.as_str()))
            .json(ProblemBody {
                r#type: format!("urn:trunkline:problem:{}", facts.code),
                title: facts.title,
                status: facts.status.as_u16(),
                detail: facts.detail.clone(),
                code: facts.code,
                request_id: facts.request_id.clone(),
                errors: errors.into_iter().chain(facts.errors.iter().cloned()).collect(),
            })
    }
}
