package io.epidote.cli.load;

import io.grpc.Metadata;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.netty.handler.ssl.JdkSslContext;
import io.netty.handler.ssl.SslContext;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.util.Optional;

/**
 * How a client reaches a server: whom it trusts and what it shows over TLS, and its key.
 *
 * @param tls empty for plaintext, or, of a server whose URL says https, for what the JVM trusts
 * @param key sent as bearer token
 */
public record Access(Optional<Certificates> tls, Optional<String> key) {
  /** Neither certificates nor key. */
  public static final Access PLAIN = new Access(Optional.empty(), Optional.empty());

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /**
   * The same certificates for both protocols.
   *
   * @param http of a client that speaks HTTP/1.1
   * @param grpc of one that speaks HTTP/2
   */
  public record Certificates(JdkSslContext http, SslContext grpc) {}

  /** What stands before {@code ://} in a URL of the server. */
  public String scheme() {
    return tls.isPresent() ? "https" : "http";
  }

  /**
   * Begins a channel to a gRPC port.
   *
   * @param address host:port
   */
  public NettyChannelBuilder channel(String address) {
    NettyChannelBuilder builder =
        NettyChannelBuilder.forTarget("dns:///" + address).maxInboundMessageSize(64 << 20);
    tls.ifPresentOrElse(files -> builder.sslContext(files.grpc()), builder::usePlaintext);
    key.ifPresent(token -> {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + token);
      builder.intercept(MetadataUtils.newAttachHeadersInterceptor(headers));
    });
    return builder;
  }

  /** Begins a client of an HTTP port, which speaks HTTP/1.1. */
  public HttpClient.Builder http() {
    HttpClient.Builder builder = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1);
    tls.ifPresent(files -> builder.sslContext(files.http().context()));
    return builder;
  }

  /** Adds the key to a request, where there is one. */
  public HttpRequest.Builder authorize(HttpRequest.Builder request) {
    key.ifPresent(token -> request.header("Authorization", "Bearer " + token));
    return request;
  }
}
