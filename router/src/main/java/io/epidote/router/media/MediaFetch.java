package io.epidote.router.media;

import com.google.protobuf.ByteString;
import io.epidote.engine.error.EpidoteException.Exhausted;
import io.epidote.router.request.InvalidField;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/**
 * Fetches media that clients name. A name is resolved once; every address that it has must be
 * public, and one of these is connected to, so that another answer of the name's server a moment
 * later changes nothing. Redirects are refused. Blocks; thread-safe.
 */
public final class MediaFetch {
  private static final int MOST_AT_A_TIME = 16;
  private static final int HTTP = 80;
  private static final int HTTPS = 443;

  private final MediaUrls urls;
  private final Resolver resolver;
  private final Predicate<InetAddress> allowed;
  private final SSLSocketFactory tls;
  private final Semaphore places = new Semaphore(MOST_AT_A_TIME);

  /** Names to addresses. */
  @FunctionalInterface
  interface Resolver {
    InetAddress[] resolve(String host) throws UnknownHostException;
  }

  public MediaFetch(MediaUrls urls) {
    this(
        urls,
        InetAddress::getAllByName,
        PublicAddress::is,
        (SSLSocketFactory) SSLSocketFactory.getDefault());
  }

  MediaFetch(
      MediaUrls urls, Resolver resolver, Predicate<InetAddress> allowed, SSLSocketFactory tls) {
    this.urls = urls;
    this.resolver = resolver;
    this.allowed = allowed;
    this.tls = tls;
  }

  /** Whether something is a web address, to be fetched or refused by {@link #get}. */
  public static boolean isWeb(String url) {
    return url.regionMatches(true, 0, "http:", 0, 5) || url.regionMatches(true, 0, "https:", 0, 6);
  }

  private record Target(boolean secure, String host, int port, String path) {}

  /**
   * The file behind a web address.
   *
   * @param path of the field, for messages
   * @throws InvalidField when it may not be fetched, or cannot; says nothing of what stands in
   *     networks that the client does not see
   * @throws Exhausted when many are being fetched
   */
  public ByteString get(String url, String path) {
    Target target = target(url, path);
    if (!places.tryAcquire()) {
      throw new Exhausted(
          "%d media are being fetched already; try again, or send the file itself"
              .formatted(MOST_AT_A_TIME));
    }
    try {
      return fetch(target, path);
    } finally {
      places.release();
    }
  }

  private Target target(String url, String path) {
    if (urls.hosts().isEmpty()) {
      throw new InvalidField(
          path,
          "is a web address; this router fetches nothing and accepts only data: URIs; expected a data: URI with base64, for example data:image/png;base64,iVBORw0…");
    }
    URI uri;
    try {
      uri = new URI(url);
    } catch (URISyntaxException e) {
      throw new InvalidField(path, "is no web address: " + e.getReason());
    }
    String host = uri.getHost();
    boolean secure = "https".equalsIgnoreCase(uri.getScheme());
    if (host == null || host.isEmpty() || uri.getRawUserInfo() != null) {
      throw new InvalidField(
          path, "is no web address that is fetched; expected https://HOST/PATH without a password");
    }
    int usual = secure ? HTTPS : HTTP;
    int port = uri.getPort() < 0 ? usual : uri.getPort();
    if (!urls.allow(host, port, port == usual)) {
      throw new InvalidField(
          path,
          "is of a host, or a port, that this router does not fetch from; send the file itself as a data: URI");
    }
    String rawPath = uri.getRawPath() == null ? "" : uri.getRawPath();
    return new Target(
        secure,
        host,
        port,
        (rawPath.isEmpty() ? "/" : rawPath)
            + (uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery()));
  }

  private ByteString fetch(Target target, String path) {
    long deadline = System.nanoTime() + urls.timeout().toNanos();
    InetAddress address = resolve(target.host(), path);
    // Whatever blocks is ended by closing: a read's own timeout begins anew with every byte.
    try (Socket socket = new Socket();
        Deadline closing = new Deadline(socket, deadline)) {
      socket.connect(new InetSocketAddress(address, target.port()), millisLeft(deadline));
      socket.setSoTimeout(millisLeft(deadline));
      Socket talk = target.secure() ? secured(socket, target) : socket;
      talk.getOutputStream().write(request(target));
      talk.getOutputStream().flush();
      return read(talk.getInputStream(), path);
    } catch (SocketTimeoutException e) {
      throw tooSlow(path);
    } catch (IOException e) {
      if (System.nanoTime() - deadline >= 0) {
        throw tooSlow(path);
      }
      throw new InvalidField(
          path, "cannot be fetched (%s)".formatted(e.getClass().getSimpleName()));
    }
  }

  private InvalidField tooSlow(String path) {
    return new InvalidField(
        path, "did not arrive within %d s".formatted(urls.timeout().toSeconds()));
  }

  private InetAddress resolve(String host, String path) {
    try {
      InetAddress[] found = resolver.resolve(host);
      if (found.length > 0 && List.of(found).stream().allMatch(allowed)) {
        return found[0];
      }
    } catch (UnknownHostException e) {
      // Told as any other host that cannot be used: who asks learns nothing of internal names.
    }
    throw new InvalidField(path, "is of a host without a public address");
  }

  private SSLSocket secured(Socket socket, Target target) throws IOException {
    SSLSocket made = (SSLSocket) tls.createSocket(socket, target.host(), target.port(), true);
    SSLParameters parameters = made.getSSLParameters();
    parameters.setEndpointIdentificationAlgorithm("HTTPS");
    made.setSSLParameters(parameters);
    made.startHandshake();
    return made;
  }

  private static int millisLeft(long deadline) throws SocketTimeoutException {
    long millis = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
    if (millis <= 0) {
      throw new SocketTimeoutException("the time is over");
    }
    return (int) millis;
  }

  private static byte[] request(Target target) {
    boolean usual = target.port() == (target.secure() ? HTTPS : HTTP);
    return "GET %s HTTP/1.1\r\nHost: %s%s\r\nAccept: image/*, video/*\r\nAccept-Encoding: identity\r\nUser-Agent: epidote\r\nConnection: close\r\n\r\n"
        .formatted(
            target.path(), target.host().toLowerCase(Locale.ROOT), usual ? "" : ":" + target.port())
        .getBytes(StandardCharsets.US_ASCII);
  }

  private ByteString read(InputStream in, String path) throws IOException {
    try (ResponseReader response = new ResponseReader(urls.maxBytes())) {
      byte[] buffer = new byte[64 << 10];
      while (!response.isComplete()) {
        int count = in.read(buffer);
        response.take(buffer, count);
        if (response.status() >= 300 || (response.status() != 0 && response.status() < 200)) {
          throw new InvalidField(
              path,
              response.status() < 400
                  ? "leads to another address, which is not followed; send the last one"
                  : "is answered with status %d by its server".formatted(response.status()));
        }
        if (response.isTooLarge()) {
          throw new InvalidField(
              path, "is larger than %d bytes, the most that is fetched".formatted(urls.maxBytes()));
        }
      }
      return response.body();
    }
  }

  /** Closes a socket at a moment, whatever it is doing. */
  private static final class Deadline implements AutoCloseable {
    private final Thread waits;

    Deadline(Socket socket, long deadline) {
      waits =
          Thread.ofVirtual()
              .start(() -> {
                try {
                  Thread.sleep(
                      Math.max(0, TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime())));
                  socket.close();
                } catch (InterruptedException | IOException e) {
                  // It was over in time, or is closed.
                }
              });
    }

    @Override
    public void close() {
      waits.interrupt();
    }
  }
}
