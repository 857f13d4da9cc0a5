package io.epidote.router.media;

import com.google.protobuf.ByteString;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseDecoder;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import java.io.EOFException;
import java.io.IOException;

/** An HTTP response as bytes bring it, up to a size. */
final class ResponseReader implements AutoCloseable {
  private final EmbeddedChannel decoder = new EmbeddedChannel(new HttpResponseDecoder());
  private final ByteString.Output body = ByteString.newOutput();
  private final int most;
  private int status;
  private boolean complete;
  private boolean tooLarge;

  ResponseReader(int most) {
    this.most = most;
  }

  /**
   * Takes bytes.
   *
   * @param count below 0 at the end
   * @throws IOException when this is no response, or ends early
   */
  void take(byte[] bytes, int count) throws IOException {
    if (count < 0) {
      decoder.finish();
    } else {
      decoder.writeInbound(Unpooled.copiedBuffer(bytes, 0, count));
    }
    for (Object part = decoder.readInbound(); part != null; part = decoder.readInbound()) {
      try {
        take(part);
      } finally {
        ReferenceCountUtil.release(part);
      }
    }
    if (count < 0 && !complete) {
      throw new EOFException("the response ends early");
    }
  }

  private void take(Object part) throws IOException {
    if (part instanceof HttpResponse response) {
      if (response.decoderResult().isFailure()) {
        throw new IOException("it is no HTTP response");
      }
      status = response.status().code();
      tooLarge |= HttpUtil.getContentLength(response, 0L) > most;
    }
    if (part instanceof HttpContent content) {
      if (content.decoderResult().isFailure()) {
        throw new IOException("its body is broken");
      }
      int size = content.content().readableBytes();
      if (body.size() + (long) size > most) {
        tooLarge = true;
      } else {
        content.content().readBytes(body, size);
      }
      complete |= content instanceof LastHttpContent;
    }
  }

  /** 0 before it has come. */
  int status() {
    return status;
  }

  boolean isComplete() {
    return complete;
  }

  boolean isTooLarge() {
    return tooLarge;
  }

  ByteString body() {
    return body.toByteString();
  }

  @Override
  public void close() {
    decoder.finishAndReleaseAll();
  }
}
