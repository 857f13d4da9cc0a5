package io.epidote.node.tls;

import io.grpc.netty.GrpcHttp2ConnectionHandler;
import io.grpc.netty.InternalProtocolNegotiator;
import io.grpc.netty.InternalProtocolNegotiators;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.SslContext;
import io.netty.util.AsciiString;
import java.util.Optional;
import java.util.function.Function;

/**
 * How a gRPC connection begins, with a handler added nearer to the application than HTTP/2.
 *
 * @param negotiation TLS or none
 */
public record AddedHandler(
    InternalProtocolNegotiator.ProtocolNegotiator negotiation,
    Function<GrpcHttp2ConnectionHandler, ChannelHandler> handler)
    implements InternalProtocolNegotiator.ProtocolNegotiator {

  /** What a server's connections begin with; refusals are logged. */
  public static InternalProtocolNegotiator.ProtocolNegotiator server(Optional<SslContext> tls) {
    return tls.<InternalProtocolNegotiator.ProtocolNegotiator>map(context ->
            new AddedHandler(
                InternalProtocolNegotiators.serverTls(context), _ -> new Refusals.Handler()))
        .orElseGet(InternalProtocolNegotiators::serverPlaintext);
  }

  /** What a client's connections begin with. */
  public static InternalProtocolNegotiator.ProtocolNegotiator client(Optional<SslContext> tls) {
    // No other name than the address's, and no check of it beside the context's own.
    return tls.map(context -> InternalProtocolNegotiators.tls(context, null, null))
        .orElseGet(InternalProtocolNegotiators::plaintext);
  }

  @Override
  public AsciiString scheme() {
    return negotiation.scheme();
  }

  @Override
  public ChannelHandler newHandler(GrpcHttp2ConnectionHandler http2) {
    ChannelHandler added = handler.apply(http2);
    ChannelHandler begins = negotiation.newHandler(http2);
    return new ChannelInboundHandlerAdapter() {
      @Override
      public void handlerAdded(ChannelHandlerContext context) {
        context.pipeline().addAfter(context.name(), null, added);
        context.pipeline().replace(this, null, begins);
      }
    };
  }

  @Override
  public void close() {
    negotiation.close();
  }
}
