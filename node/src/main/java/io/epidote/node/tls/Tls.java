package io.epidote.node.tls;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.grpc.netty.GrpcSslContexts;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.JdkSslContext;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import javax.net.ssl.SSLException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;

/**
 * A process's certificates: what it shows, and whom it trusts. The files are looked at every two
 * seconds; when all of them are good together, connections from then on have what is new, and when
 * not, what there was stays and the log says why. Thread-safe.
 */
public final class Tls implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(Tls.class);

  /** How often the files are looked at. */
  public static final Duration LOOK = Duration.ofSeconds(2);

  /** How long a session may be resumed without its certificate being looked at again. */
  private static final Duration SESSION = Duration.ofMinutes(5);

  private static final Duration SOON = Duration.ofDays(1);
  private static final List<String> PROTOCOLS = List.of("TLSv1.3", "TLSv1.2");

  private final TlsFiles files;
  private final ScheduledThreadPoolExecutor timer;
  private final List<Context> contexts = new ArrayList<>();
  private TlsFiles.Content content;
  private Credentials credentials;
  private String complained = "";

  private record Context(
      ReloadingSslContext given, Function<Credentials, SslContext> fromCredentials) {}

  private Tls(TlsFiles files) {
    this.files = files;
    this.content = files.read();
    this.credentials = Credentials.parse(content);
    tell(Level.DEBUG, "Shows");
    this.timer =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("tls-files").factory());
    timer.scheduleWithFixedDelay(
        this::look, LOOK.toMillis(), LOOK.toMillis(), TimeUnit.MILLISECONDS);
  }

  /**
   * Reads the files, and goes on looking at them until closed.
   *
   * @throws InvalidRequest when they cannot be used; says which and what was expected
   */
  public static Tls open(TlsFiles files) {
    return new Tls(files);
  }

  /** Of a gRPC server that only those with a certificate of the authority reach. */
  public SslContext memberServer() {
    return context(with -> grpcServer(with, ClientAuth.REQUIRE));
  }

  /**
   * Of a gRPC server that others reach, too; a certificate that is shown must be good.
   *
   * @param everybody whether all must show one
   */
  public SslContext openServer(boolean everybody) {
    return context(with -> grpcServer(with, clientAuth(everybody)));
  }

  /** The same of an HTTP server. */
  public SslContext httpServer(boolean everybody) {
    return context(with -> build(server(with, clientAuth(everybody))));
  }

  /** Of a client of other members, which are known by their roles. */
  public SslContext memberClient() {
    Set<PeerRole> members = EnumSet.of(PeerRole.ROUTER, PeerRole.NODE);
    return context(with ->
        build(
            GrpcSslContexts.configure(
                client(with).trustManager(new ClusterTrust(with.trust(), members)),
                SslProvider.JDK)));
  }

  /** Of a client of a router, which is known by its host name. */
  public SslContext userClient() {
    return context(with ->
        build(GrpcSslContexts.configure(client(with).trustManager(with.trust()), SslProvider.JDK)));
  }

  /**
   * Of a client of a router's HTTP port, which is known by its host name. Has what the files have
   * now, whatever becomes of them.
   */
  public synchronized JdkSslContext webClient() {
    return (JdkSslContext) build(client(credentials).trustManager(credentials.trust()));
  }

  private static ClientAuth clientAuth(boolean everybody) {
    return everybody ? ClientAuth.REQUIRE : ClientAuth.OPTIONAL;
  }

  private static SslContext grpcServer(Credentials with, ClientAuth auth) {
    return build(GrpcSslContexts.configure(server(with, auth), SslProvider.JDK));
  }

  private static SslContextBuilder server(Credentials with, ClientAuth auth) {
    Credentials.Own own =
        with.own()
            .orElseThrow(
                () -> new InvalidRequest("A server needs --tls-cert and --tls-key with --tls-ca"));
    return common(
        SslContextBuilder.forServer(own.key(), own.chain().toArray(X509Certificate[]::new))
            .trustManager(new ClusterTrust(with.trust(), EnumSet.allOf(PeerRole.class)))
            .clientAuth(auth));
  }

  private static SslContextBuilder client(Credentials with) {
    SslContextBuilder builder = common(SslContextBuilder.forClient());
    with.own()
        .ifPresent(
            own -> builder.keyManager(own.key(), own.chain().toArray(X509Certificate[]::new)));
    return builder;
  }

  private static SslContextBuilder common(SslContextBuilder builder) {
    return builder
        .sslProvider(SslProvider.JDK)
        .protocols(PROTOCOLS)
        .sessionTimeout(SESSION.toSeconds());
  }

  private static SslContext build(SslContextBuilder builder) {
    try {
      return builder.build();
    } catch (SSLException e) {
      throw new InvalidRequest("The certificates cannot be used: " + e.getMessage(), e);
    }
  }

  private synchronized SslContext context(Function<Credentials, SslContext> fromCredentials) {
    ReloadingSslContext given = new ReloadingSslContext(fromCredentials.apply(credentials));
    contexts.add(new Context(given, fromCredentials));
    return given;
  }

  private void look() {
    try {
      take(files.read());
    } catch (EpidoteException e) {
      complain(String.valueOf(e.getMessage()));
    } catch (RuntimeException e) {
      complain(e.toString());
    }
  }

  private synchronized void take(TlsFiles.Content now) {
    if (now.equals(content)) {
      return;
    }
    Credentials next = Credentials.parse(now);
    // All or none: a certificate may be there before its key.
    List<SslContext> made =
        contexts.stream().map(each -> each.fromCredentials().apply(next)).toList();
    for (int i = 0; i < made.size(); i++) {
      contexts.get(i).given().exchange(made.get(i));
    }
    content = now;
    credentials = next;
    complained = "";
    tell(Level.INFO, "Has read its certificates again and shows");
  }

  private synchronized void complain(String why) {
    if (!complained.equals(why)) {
      complained = why;
      log.warn("The changed certificates are not taken, those before stay: {}", why);
    }
  }

  /**
   * @param fine the level where there is nothing to worry about
   */
  private void tell(Level fine, String does) {
    Optional<Credentials.Own> own = credentials.own();
    if (own.isEmpty()) {
      return;
    }
    Instant expires = own.get().expires();
    if (expires.isBefore(Instant.now())) {
      log.warn("{} {}, which expired at {}: others refuse it", does, own.get(), expires);
    } else if (expires.isBefore(Instant.now().plus(SOON))) {
      log.warn("{} {}, which expires at {}", does, own.get(), expires);
    } else {
      log.atLevel(fine).log("{} {}, which is valid until {}", does, own.get(), expires);
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
