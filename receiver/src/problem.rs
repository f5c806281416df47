//! Errors as `application/problem+json` (RFC 9457): the one place where a failure becomes a status.

mod catalogue;
mod convert;

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use trunkline_boot::random::random_bytes;
use utoipa::ToSchema;

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Stable; also the label under which it is counted.
    pub(crate) code: &'static str,
    title: &'static str,
    detail: String,
    field: Option<&'static str>,
    /// Drawn when the problem is met, so that the log line of a fault and its answer share it.
    request_id: [u8; 12],
    /// Boxed: a problem travels through every `Result`, and few have one.
    header: Option<Box<(&'static str, String)>>,
}

/// What went wrong, for people (`title`, `detail`) and for programs (`status`, `code`).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Names the kind of problem; it is not meant to be opened.
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
#[derive(Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// Its name.
    field: &'static str,
    /// What would be accepted.
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let request_id = random_bytes();
        Self { status, code, title, detail: detail.into(), field: None, request_id, header: None }
    }

    /// In the form in which it is told and logged.
    fn request_id(&self) -> String {
        format!("req_{}", hex::encode(self.request_id))
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some(Box::new((name, value.into())));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let errors = self.field.map(|field| FieldProblem { field, detail: self.detail.clone() });
        let mut response = HttpResponse::build(self.status);
        if let Some((name, value)) = self.header.as_deref() {
            response.insert_header((*name, value.as_str()));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json")).json(ProblemBody {
            r#type: format!("urn:trunkline:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            request_id: self.request_id(),
            errors: errors.into_iter().collect(),
        })
    }
}
