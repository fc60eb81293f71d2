use tokio::net::TcpListener;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// On each connection in turn, answers as many requests as there are texts, and closes it.
async fn server(connections: Vec<Vec<&'static str>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answers in connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            for answer in answers {
                let _request = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    address
}

async fn get(wire: &mut Wire) -> Result<HttpReply, WireError> {
    wire.exchange(GET, true, Instant::now()).await
}

#[tokio::test]
async fn a_connection_is_kept_and_an_idle_one_that_was_closed_is_replaced() {
    let mut wire = Wire::new(vec![server(vec![vec![ANSWER; 2], vec![ANSWER]]).await], LIMIT);
    let opened = [get(&mut wire).await, get(&mut wire).await, get(&mut wire).await];
    assert_eq!(opened.map(|reply| reply.unwrap().connections), [1, 0, 1]);
}

#[tokio::test]
async fn a_write_is_not_sent_again_over_another_connection() {
    let mut wire = Wire::new(vec![server(vec![vec![ANSWER], vec![ANSWER]]).await], LIMIT);
    get(&mut wire).await.unwrap();
    let write = wire.exchange(GET, false, Instant::now()).await;
    assert_eq!(write.unwrap_err(), WireError::Closed);
}

#[tokio::test]
async fn faults_are_told_apart() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
    for (answer, fault) in [(short, WireError::Closed), ("220 mail\r\n", WireError::Malformed)] {
        let mut wire = Wire::new(vec![server(vec![vec![answer]]).await], LIMIT);
        assert_eq!(get(&mut wire).await.unwrap_err(), fault);
    }
    // Nothing listens on this port: the kernel gives it to no socket that asks for any port.
    let mut wire = Wire::new(vec![SocketAddr::from(([127, 0, 0, 1], 1))], LIMIT);
    assert_eq!(get(&mut wire).await.unwrap_err(), WireError::Connect);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up_and_its_connection_with_it() {
    let mut wire = Wire::new(vec![server(vec![vec!["HTTP/1.1 200"], vec![ANSWER]]).await], LIMIT);
    // This listener accepts a connection and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = Wire::new(vec![listener.local_addr().unwrap()], Duration::from_millis(20));
    let began = Instant::now();
    assert_eq!(get(&mut silent).await.unwrap_err(), WireError::TimedOut);
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(get(&mut silent).await.unwrap_err(), WireError::TimedOut);
    assert!(get(&mut wire).await.is_err());
    assert_eq!(get(&mut wire).await.unwrap().connections, 1);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let endless = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
    let mut wire = Wire::new(vec![server(vec![vec![endless], vec![ANSWER]]).await], LIMIT);
    assert_eq!(get(&mut wire).await.unwrap().bytes, endless.len() as u64);
    assert_eq!(get(&mut wire).await.unwrap().connections, 1);
}
