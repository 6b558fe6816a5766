//! Kafka's protocol, straight: one connection, one request at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// Longer than anything that a request here may wait for.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Wire {
    stream: TcpStream,
    correlation: i32,
}

impl Wire {
    pub(crate) fn connect(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Whether somebody answers, and is done with starting.
    pub(crate) fn ping(&mut self) -> Result<(), String> {
        let answer = self.send(ApiVersionsRequest::default(), 0)?;
        let _: ApiVersionsResponse = answer;
        Ok(())
    }

    /// Sends a request in this version and waits for the answer.
    pub(crate) fn send<R: Request>(&mut self, request: R, version: i16) -> Result<R::Response, String> {
        self.post(request, version)?;
        self.receive::<R>(version)
    }

    /// Sends a request whose answer [`receive`](Self::receive) takes later.
    pub(crate) fn post<R: Request>(&mut self, request: R, version: i16) -> Result<(), String> {
        self.correlation += 1;
        let key = ApiKey::try_from(R::KEY).map_err(|()| format!("unknown API {}", R::KEY))?;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("oracle")));
        let mut body = BytesMut::new();
        header.encode(&mut body, key.request_header_version(version)).map_err(|error| error.to_string())?;
        request.encode(&mut body, version).map_err(|error| error.to_string())?;
        let mut frame = BytesMut::with_capacity(body.len() + 4);
        frame.put_i32(body.len() as i32);
        frame.put(body);
        self.stream.write_all(&frame).map_err(|error| error.to_string())
    }

    /// Whether an answer begins to arrive within this time.
    pub(crate) fn is_answered(&mut self, within: Duration) -> bool {
        self.stream.set_read_timeout(Some(within)).expect("a timeout");
        let arrives = self.stream.peek(&mut [0]).is_ok_and(|count| count > 0);
        self.stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        arrives
    }

    /// Waits for the answer to the request that was sent last.
    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, String> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(|error| error.to_string())?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).map_err(|error| error.to_string())?;
        let mut frame = Bytes::from(frame);
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))
            .map_err(|error| error.to_string())?;
        assert_eq!(header.correlation_id, self.correlation, "an answer to another request");
        let response = R::Response::decode(&mut frame, version).map_err(|error| error.to_string())?;
        assert!(!frame.has_remaining(), "bytes behind the answer");
        Ok(response)
    }
}

pub(crate) fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}
