package io.epidote.router.media;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.router.request.InvalidField;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLSocketFactory;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is fetched for a client, and what never is. */
class MediaFetchTest {
  private static HttpServer server;
  private static final AtomicInteger served = new AtomicInteger();

  @BeforeAll
  static void serve() throws IOException {
    server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
    server.createContext("/good", exchange -> send(exchange, 200, 5000, 5000));
    server.createContext("/chunked", exchange -> send(exchange, 200, 0, 5000));
    server.createContext("/large", exchange -> send(exchange, 200, 0, 200_000));
    server.createContext("/announced", exchange -> send(exchange, 200, 200_000, 10));
    server.createContext("/missing", exchange -> send(exchange, 404, 10, 10));
    server.createContext(
        "/redirect",
        exchange -> {
          exchange.getResponseHeaders().add("Location", "/good");
          send(exchange, 302, 10, 10);
        });
    server.createContext(
        "/drip",
        exchange -> {
          exchange.sendResponseHeaders(200, 0);
          for (int i = 0; i < 100; i++) {
            exchange.getResponseBody().write(1);
            exchange.getResponseBody().flush();
            try {
              Thread.sleep(100);
            } catch (InterruptedException e) {
              return;
            }
          }
        });
    server.start();
  }

  @AfterAll
  static void stop() {
    server.stop(0);
  }

  private static void send(HttpExchange exchange, int status, int announced, int bytes)
      throws IOException {
    served.incrementAndGet();
    exchange.sendResponseHeaders(status, announced);
    exchange.getResponseBody().write(new byte[bytes]);
    exchange.close();
  }

  private static int port() {
    return server.getAddress().getPort();
  }

  /** With this machine's addresses allowed, which are all that a test has. */
  private static MediaFetch fetch() {
    return new MediaFetch(
        new MediaUrls(List.of("pictures.test:" + port()), 100_000, Duration.ofSeconds(1)),
        _ -> new InetAddress[] {InetAddress.getLoopbackAddress()},
        InetAddress::isLoopbackAddress,
        (SSLSocketFactory) SSLSocketFactory.getDefault());
  }

  private static String url(String path) {
    return "http://pictures.test:" + port() + path;
  }

  @Test
  void bringsWhatIsAllowed() {
    assertThat(fetch().get(url("/good?a=b"), "p").size()).isEqualTo(5000);
    assertThat(fetch().get(url("/chunked"), "p").size()).isEqualTo(5000);
  }

  @ParameterizedTest
  @ValueSource(strings = {"/large", "/announced", "/missing", "/redirect", "/drip"})
  void refusesWhatIsTooMuchTooSlowOrElsewhere(String path) {
    long begun = System.nanoTime();
    assertThatThrownBy(() -> fetch().get(url(path), "messages[0]"))
        .isInstanceOf(InvalidField.class)
        .hasMessageContaining("messages[0]");
    assertThat(Duration.ofNanos(System.nanoTime() - begun)).isLessThan(Duration.ofSeconds(5));
  }

  @Test
  void asksNobodyWhoIsNotListed() {
    int before = served.get();
    for (String other :
        new String[] {
          "http://127.0.0.1:" + port() + "/good",
          "http://pictures.test/good",
          "http://pictures.test.evil.test:" + port() + "/good",
          "http://user:secret@pictures.test:" + port() + "/good",
          "http://evil.test\\@pictures.test:" + port() + "/good",
          "http:///good",
          "http:good",
        }) {
      assertThatThrownBy(() -> fetch().get(other, "p"))
          .as(other)
          .isInstanceOf(InvalidField.class)
          .message()
          .doesNotContain("secret");
    }
    assertThatThrownBy(() -> new MediaFetch(MediaUrls.NONE).get(url("/good"), "p"))
        .hasMessageContaining("fetches nothing");
    assertThat(served.get()).isEqualTo(before);
  }

  @Test
  void aNameWithOnePrivateAddressIsRefusedBeforeAnythingIsConnected() {
    int before = served.get();
    InetAddress here = InetAddress.getLoopbackAddress();
    for (InetAddress[] answer :
        List.of(new InetAddress[] {here}, new InetAddress[] {address("8.8.8.8"), here})) {
      MediaFetch real =
          new MediaFetch(
              MediaUrls.of(List.of("pictures.test:" + port())),
              _ -> answer,
              PublicAddress::is,
              (SSLSocketFactory) SSLSocketFactory.getDefault());
      assertThatThrownBy(() -> real.get(url("/good"), "p"))
          .hasMessageContaining("without a public address");
    }
    assertThat(served.get()).isEqualTo(before);
  }

  private static InetAddress address(String literal) {
    return InetAddress.ofLiteral(literal);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.7",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:db8::1",
        "2001::1",
        "3fff::1",
        "100::1"
      })
  void isNotPublic(String literal) {
    assertThat(PublicAddress.is(address(literal))).isFalse();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "172.15.0.1",
        "100.128.0.1",
        "198.20.0.1",
        "223.0.0.1",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "::ffff:8.8.8.8"
      })
  void isPublic(String literal) {
    assertThat(PublicAddress.is(address(literal))).isTrue();
  }

  @Test
  void hostsAreNamesWithOrWithoutPort() {
    MediaUrls urls = MediaUrls.of(List.of("*.Example.org", "a.test", "b.test:8443"));
    assertThat(urls.allow("x.EXAMPLE.org", 443, true)).isTrue();
    assertThat(urls.allow("example.org", 443, true)).isFalse();
    assertThat(urls.allow("xexample.org", 443, true)).isFalse();
    assertThat(urls.allow("a.test", 8080, false)).isFalse();
    assertThat(urls.allow("b.test", 8443, false)).isTrue();
    assertThat(urls.allow("b.test", 443, true)).isFalse();
    assertThatThrownBy(() -> MediaUrls.of(List.of("https://a.test/")))
        .isInstanceOf(InvalidRequest.class);
  }
}
