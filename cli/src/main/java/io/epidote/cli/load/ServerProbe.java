package io.epidote.cli.load;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import javax.net.ssl.SSLException;

/** What a server says of itself before it is put under load. */
record ServerProbe(String model, boolean epidote) {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);

  /**
   * Asks for the models that are served. A server that does not list them is fine, one that is not
   * there is not.
   *
   * @throws Unavailable when nothing answers at the URL
   */
  static ServerProbe of(URI root, Access access) throws InterruptedException {
    try (HttpClient client = access.http().connectTimeout(TIMEOUT).build()) {
      HttpRequest.Builder request =
          HttpRequest.newBuilder(URI.create(root + "/v1/models")).timeout(TIMEOUT);
      HttpResponse<String> response =
          client.send(access.authorize(request).build(), BodyHandlers.ofString());
      return response.statusCode() == 200 ? read(response.body()) : new ServerProbe("", false);
    } catch (SSLException e) {
      throw new Unavailable(
          "%s and this command do not trust each other (%s); give --tls-ca, with --tls-cert and --tls-key where it wants a certificate"
              .formatted(root, e.getMessage()),
          e);
    } catch (ConnectException e) {
      throw new Unavailable(
          "No server answers at %s; start one with './epidote up', or name another with --url"
              .formatted(root),
          e);
    } catch (IOException e) {
      throw new Unavailable(
          "%s is there, but does not answer as an HTTP server does (%s); is --url the HTTP port?"
              .formatted(root, e),
          e);
    }
  }

  private static ServerProbe read(String body) {
    try {
      JsonNode first = new ObjectMapper().readTree(body).path("data").path(0);
      return new ServerProbe(
          first.path("id").asText(""), first.path("owned_by").asText("").equals("epidote"));
    } catch (IOException e) {
      return new ServerProbe("", false);
    }
  }
}
