import java.net.Authenticator;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Java's HttpClient: java Call.java FORM URL... asks for each, then posts to the last. */
class Call {
  private static HttpClient client(String form) {
    var builder = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL);
    if (!form.equals("proxy")) return builder.build();
    URI proxy = URI.create(System.getenv("HTTP_PROXY"));
    String[] pair = proxy.getUserInfo().split(":", 2);
    return builder
        .proxy(ProxySelector.of(new InetSocketAddress(proxy.getHost(), proxy.getPort())))
        .authenticator(
            new Authenticator() {
              @Override
              protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(pair[0], pair[1].toCharArray());
              }
            })
        .build();
  }

  private static void ask(HttpClient client, String form, String method, String url)
      throws Exception {
    BodyPublisher body =
        method.equals("POST") ? BodyPublishers.ofString("Hi") : BodyPublishers.noBody();
    var request = HttpRequest.newBuilder(URI.create(url)).method(method, body);
    if (form.equals("path")) request.header("Portal-Token", System.getenv("PORTAL_TOKEN"));
    var got = client.send(request.build(), BodyHandlers.ofString());
    System.out.println(got.statusCode() + " " + got.body());
  }

  public static void main(String[] words) throws Exception {
    var client = client(words[0]);
    for (int at = 1; at < words.length; at++) ask(client, words[0], "GET", words[at]);
    ask(client, words[0], "POST", words[words.length - 1]);
  }
}
