package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.SamplingParams;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.pkitesting.X509Bundle;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** A cluster whose members know each other by certificates. */
class TlsTest {
  private static final List<String> HERE = List.of("127.0.0.1");
  private static final String[] MEMBER = {"router", "node"};

  @TempDir private static Path folder;
  private static TestCertificates authority;
  private static LocalCluster cluster;
  private static final Queue<String> LOGGED = new ConcurrentLinkedQueue<>();

  private static final AppenderBase<ILoggingEvent> LOG =
      new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
          LOGGED.add(event.getFormattedMessage());
        }
      };

  @BeforeAll
  static void start() throws Exception {
    LOG.start();
    ((Logger) LoggerFactory.getLogger("io.epidote")).addAppender(LOG);
    authority = new TestCertificates("cluster");
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.tls =
        TestCertificates.write(
            folder.resolve("cluster"),
            authority.member("all", HERE, "router", "node"),
            authority.pem());
    options.node.noUnixSockets = true;
    cluster = LocalCluster.start(options, NodeSpec.parseList("E,P,D"), new Progress());
  }

  @AfterAll
  static void stop() {
    cluster.close();
    ((Logger) LoggerFactory.getLogger("io.epidote")).detachAppender(LOG);
  }

  private static ConnectionOptions as(String name, X509Bundle bundle) throws IOException {
    return ConnectionOptions.of(
        TestCertificates.write(folder.resolve(name), bundle, authority.pem()));
  }

  /** Who shows no certificate, but knows the router's authority. */
  private static ConnectionOptions nobody() {
    TlsOptions options = new TlsOptions();
    options.ca = folder.resolve("cluster").resolve("ca.pem");
    return ConnectionOptions.of(options);
  }

  @Test
  void answersOverTlsWithBlocksThatCrossedIt() throws Exception {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress(), nobody())) {
      InferenceClient.Answer answer =
          client.generate(
              InferenceClient.question(
                  "",
                  AskCommand.read(
                      List.of(Home.folder().resolve("models/scenes/examples/small.png"))),
                  "describe the picture.",
                  SamplingParams.newBuilder().setTemperature(0).build()),
              _ -> {});
      assertThat(answer.text()).isNotBlank();
      assertThat(answer.finished().getTimeline().getTopology()).isEqualTo("E+P+D");
    }
    try (HttpClient http = https()) {
      HttpResponse<String> models =
          http.send(
              HttpRequest.newBuilder(URI.create("https://" + cluster.httpAddress() + "/v1/models"))
                  .build(),
              HttpResponse.BodyHandlers.ofString());
      assertThat(models.body()).contains("scenes");
    }
  }

  @Test
  void refusesPlaintextEverywhere() throws Exception {
    for (String address : List.of(cluster.grpcAddress(), cluster.adminAddress(), nodeAddress())) {
      try (InferenceClient client = new InferenceClient(address)) {
        assertThatThrownBy(client::load).isInstanceOf(EpidoteException.Unavailable.class);
      }
    }
    try (Socket plain = socket(cluster.httpAddress())) {
      plain
          .getOutputStream()
          .write("GET /healthz HTTP/1.1\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
      assertThat(plain.getInputStream().readAllBytes())
          .asString(StandardCharsets.ISO_8859_1)
          .doesNotContain("HTTP");
    }
    awaitLog("it speaks no TLS");
  }

  @Test
  void aNodeRefusesWhoeverIsNoMemberAndSaysWhy() throws Exception {
    TestCertificates strangers = new TestCertificates("strangers");
    assertThatThrownBy(() -> check(nodeAddress(), null)).isInstanceOf(StatusRuntimeException.class);
    awaitLog("it shows no certificate");
    X509Bundle wrong = strangers.member("stranger", HERE, MEMBER);
    assertThatThrownBy(() -> check(nodeAddress(), wrong))
        .isInstanceOf(StatusRuntimeException.class);
    // A JDK client keeps a certificate to itself that the server says it would not trust.
    awaitLog("it shows no certificate");
    X509Bundle expired = authority.expired("late", HERE, MEMBER);
    assertThatThrownBy(() -> check(nodeAddress(), expired))
        .isInstanceOf(StatusRuntimeException.class);
    awaitLog("its certificate has expired");
    // Of the cluster's authority, but without a role: it may look at health, and do nothing.
    check(nodeAddress(), authority.member("somebody", HERE));
    try (InferenceClient client =
        new InferenceClient(nodeAddress(), as("somebody", authority.member("somebody", HERE)))) {
      assertThatThrownBy(client::listAdapters)
          .hasMessageContaining("is for members with the role admin or router");
    }
    awaitLog("the certificate of \"CN=somebody\" gives none of them");
  }

  @Test
  void adminPortIsForAdministrators() throws Exception {
    try (InferenceClient node =
        new InferenceClient(
            cluster.adminAddress(), as("node", authority.member("node", HERE, MEMBER)))) {
      assertThatThrownBy(node::listAdapters).hasMessageContaining("role admin");
    }
    try (InferenceClient admin =
        new InferenceClient(
            cluster.adminAddress(), as("admin", authority.member("admin", HERE, "admin")))) {
      assertThat(admin.listAdapters().getNodesList()).isNotEmpty();
    }
  }

  @Test
  void certificatesChangeUnderLoadWithoutAFailedRequest() throws Exception {
    AtomicBoolean over = new AtomicBoolean();
    AtomicInteger answered = new AtomicInteger();
    Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
    List<Thread> clients = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      clients.add(
          Thread.ofVirtual()
              .start(() -> {
                while (!over.get()) {
                  // A connection for each request: both ends shake hands with what they have now.
                  try (InferenceClient client =
                      new InferenceClient(cluster.grpcAddress(), nobody())) {
                    var unused =
                        client.generate(
                            InferenceClient.question(
                                "",
                                List.of(),
                                "hello",
                                SamplingParams.newBuilder().setMaxTokens(2).build()),
                            _ -> {});
                    answered.incrementAndGet();
                  } catch (RuntimeException e) {
                    failures.add(e);
                  }
                }
              }));
    }
    String before = serial();
    TestCertificates next = new TestCertificates("next");
    Path files = folder.resolve("cluster");
    // As authorities are changed: first trust both, then show the new one's certificates.
    X509Bundle old = authority.member("all", HERE, MEMBER);
    TestCertificates.write(files, old, authority.pem() + next.pem());
    await().atMost(Duration.ofSeconds(10)).until(() -> !serial().equals(before));
    String between = serial();
    TestCertificates.write(files, next.member("all", HERE, MEMBER), authority.pem() + next.pem());
    await().atMost(Duration.ofSeconds(10)).until(() -> !serial().equals(between));
    int soFar = answered.get();
    await().atMost(Duration.ofSeconds(20)).until(() -> answered.get() > soFar + 10);
    over.set(true);
    for (Thread client : clients) {
      client.join();
    }
    assertThat(failures).isEmpty();
    // What cannot be used is not taken.
    java.nio.file.Files.writeString(files.resolve("key.pem"), "no key");
    awaitLog("The changed certificates are not taken");
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress(), nobody())) {
      GetLoadResponse load = client.load();
      assertThat(load.getNodesCount()).isEqualTo(3);
    }
    TestCertificates.write(files, old, authority.pem() + next.pem());
  }

  private static String nodeAddress() {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress(), nobody())) {
      return client.load().getNodes(0).getAddress();
    }
  }

  private static void awaitLog(String part) {
    await()
        .atMost(Duration.ofSeconds(10))
        .untilAsserted(
            () -> assertThat(LOGGED).anySatisfy(line -> assertThat(line).contains(part)));
  }

  /** Asks for a server's health as whoever has this certificate. */
  private static void check(String address, @Nullable X509Bundle bundle) throws Exception {
    SslContextBuilder ssl =
        GrpcSslContexts.forClient()
            .trustManager(
                new ByteArrayInputStream(authority.pem().getBytes(StandardCharsets.US_ASCII)));
    if (bundle != null) {
      ssl.keyManager(bundle.getKeyPair().getPrivate(), bundle.getCertificatePath());
    }
    ManagedChannel channel =
        NettyChannelBuilder.forTarget("dns:///" + address).sslContext(ssl.build()).build();
    try {
      var unused =
          HealthGrpc.newBlockingStub(channel)
              .withDeadlineAfter(10, TimeUnit.SECONDS)
              .check(HealthCheckRequest.getDefaultInstance());
    } finally {
      channel.shutdownNow();
    }
  }

  private static Socket socket(String address) throws IOException {
    URI uri = URI.create("http://" + address);
    return new Socket(uri.getHost(), uri.getPort());
  }

  private static SSLContext trusting() throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    int count = 0;
    for (var each :
        CertificateFactory.getInstance("X.509")
            .generateCertificates(
                java.nio.file.Files.newInputStream(folder.resolve("cluster").resolve("ca.pem")))) {
      store.setCertificateEntry("ca" + count++, each);
    }
    TrustManagerFactory trust =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }

  private static HttpClient https() throws Exception {
    return HttpClient.newBuilder().sslContext(trusting()).build();
  }

  /** Of the certificate that the HTTP port shows to a new connection. */
  private static String serial() {
    try (Socket plain = socket(cluster.httpAddress());
        SSLSocket tls =
            (SSLSocket)
                trusting()
                    .getSocketFactory()
                    .createSocket(plain, "127.0.0.1", plain.getPort(), true)) {
      tls.startHandshake();
      return ((X509Certificate) tls.getSession().getPeerCertificates()[0])
          .getSerialNumber()
          .toString();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }
}
