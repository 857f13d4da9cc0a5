package io.epidote.node.tls;

import io.grpc.Attributes;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.ServerBuilder;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerTransportFilter;
import io.grpc.Status;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;

/**
 * Who may call which service of a server, by the roles of {@link PeerRole}. Services that are not
 * named are for everybody whom TLS let in.
 */
public final class PeerRules {
  private record Peer(String name, Set<PeerRole> roles) {}

  private static final Attributes.Key<Peer> PEER = Attributes.Key.create("epidote-peer");

  private final Map<String, Set<PeerRole>> byService;

  /**
   * @param byService for each service's full name, the roles of which its callers must have one
   */
  public PeerRules(Map<String, Set<PeerRole>> byService) {
    this.byService = Map.copyOf(byService);
  }

  /** Makes a server that has TLS keep to the rules. */
  public <T extends ServerBuilder<T>> T apply(T server) {
    return server.addTransportFilter(new Names()).intercept(new Check());
  }

  /** Reads a certificate once for each connection. */
  private static final class Names extends ServerTransportFilter {
    @Override
    public Attributes transportReady(Attributes attributes) {
      return attributes.toBuilder()
          .set(PEER, peer(attributes.get(Grpc.TRANSPORT_ATTR_SSL_SESSION)))
          .build();
    }

    private static Peer peer(@org.jspecify.annotations.Nullable SSLSession session) {
      try {
        if (session != null && session.getPeerCertificates()[0] instanceof X509Certificate shown) {
          return new Peer(shown.getSubjectX500Principal().getName(), PeerRole.of(shown));
        }
      } catch (SSLPeerUnverifiedException e) {
        // It showed none.
      }
      return new Peer("", EnumSet.noneOf(PeerRole.class));
    }
  }

  private final class Check implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
      String service = String.valueOf(call.getMethodDescriptor().getServiceName());
      Set<PeerRole> may = byService.get(service);
      Peer peer = call.getAttributes().get(PEER);
      if (may == null || (peer != null && peer.roles().stream().anyMatch(may::contains))) {
        return next.startCall(call, headers);
      }
      boolean shown = peer != null && !peer.name().isEmpty();
      String why =
          "%s is for members with the role %s; %s"
              .formatted(
                  service,
                  may.stream().map(PeerRole::word).sorted().collect(Collectors.joining(" or ")),
                  shown
                      ? "the certificate of \"%s\" gives none of them, which is a name as spiffe://DOMAIN/epidote/%s"
                          .formatted(peer.name(), may.iterator().next().word())
                      : "the caller shows no certificate");
      Refusals.log(
          "Refused a call from %s: %s"
              .formatted(call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR), why));
      call.close(
          (shown ? Status.PERMISSION_DENIED : Status.UNAUTHENTICATED).withDescription(why + "."),
          new Metadata());
      return new ServerCall.Listener<>() {};
    }
  }
}
