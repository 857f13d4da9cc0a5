package io.epidote.cli.chaos;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A proxy in front of a port that sends back what it gets. */
class FaultProxyTest {
  private static final byte[] SENT = new byte[3000];

  private final LinkRules rules = new LinkRules();
  private ServerSocket echo;
  private FaultProxy proxy;
  private Socket client;

  @BeforeEach
  void connect() throws Exception {
    Arrays.fill(SENT, (byte) 7);
    echo = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"));
    Thread.ofVirtual().start(this::answer);
    int port = ProxyNetwork.freePorts();
    proxy =
        new FaultProxy(
            new InetSocketAddress("127.0.0.1", port),
            new InetSocketAddress("127.0.0.1", echo.getLocalPort()),
            "server",
            _ -> "client",
            true,
            rules,
            1);
    client = new Socket("127.0.0.1", port);
    client.setSoTimeout(5000);
  }

  private void answer() {
    try (Socket socket = echo.accept()) {
      socket.getInputStream().transferTo(socket.getOutputStream());
    } catch (IOException e) {
      // The connection was reset, as tests want it.
    }
  }

  @AfterEach
  void close() throws Exception {
    client.close();
    proxy.close();
    echo.close();
  }

  private byte[] exchange() throws IOException {
    client.getOutputStream().write(SENT);
    return client.getInputStream().readNBytes(SENT.length);
  }

  private static Fault fault(FaultKind kind, List<String> peers, double amount) {
    return new Fault(Duration.ZERO, kind, List.of("server"), peers, Duration.ZERO, amount);
  }

  @Test
  void withoutFaultsBytesPassAndTheEndDoes() throws Exception {
    assertThat(exchange()).isEqualTo(SENT);
    client.shutdownOutput();
    assertThat(client.getInputStream().read()).isEqualTo(-1);
  }

  @Test
  void behindAPartitionNothingComesAndAfterItAllDoes() throws Exception {
    Fault other = fault(FaultKind.PARTITION, List.of("somebody else"), 0);
    rules.begin(other);
    assertThat(exchange()).isEqualTo(SENT);
    Fault partition = fault(FaultKind.PARTITION, List.of("client"), 0);
    rules.begin(partition);
    client.setSoTimeout(200);
    client.getOutputStream().write(SENT);
    InputStream in = client.getInputStream();
    assertThatThrownBy(in::read).isInstanceOf(SocketTimeoutException.class);
    rules.end(partition);
    client.setSoTimeout(5000);
    assertThat(in.readNBytes(SENT.length)).isEqualTo(SENT);
  }

  @Test
  void delaysAreThereInBothDirections() throws Exception {
    rules.begin(fault(FaultKind.DELAY, List.of(), 0.1));
    long start = System.nanoTime();
    assertThat(exchange()).isEqualTo(SENT);
    assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThan(Duration.ofMillis(199));
  }

  @Test
  void oneBitOfAPieceIsFlipped() throws Exception {
    rules.begin(fault(FaultKind.CORRUPT, List.of(), 1));
    byte[] got = exchange();
    int bits = 0;
    for (int i = 0; i < SENT.length; i++) {
      bits += Integer.bitCount((got[i] ^ SENT[i]) & 255);
    }
    // A piece is what was read at a time, most often all.
    assertThat(bits).isBetween(1, 20);
  }

  @Test
  void cutConnectionsAreReset() throws Exception {
    assertThat(exchange()).isEqualTo(SENT);
    proxy.cut();
    assertThatThrownBy(
            () -> {
              while (true) {
                exchange();
              }
            })
        .isInstanceOf(IOException.class);
  }
}
