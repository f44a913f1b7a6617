// Go's net/http: call FORM URL... asks for each, then posts to the last.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func ask(form, method, url, body string) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	if form == "path" {
		request.Header.Set("Portal-Token", os.Getenv("PORTAL_TOKEN"))
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer got.Body.Close()
	said, err := io.ReadAll(got.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.StatusCode, string(said))
}

func main() {
	form, urls := os.Args[1], os.Args[2:]
	for _, url := range urls {
		ask(form, "GET", url, "")
	}
	ask(form, "POST", urls[len(urls)-1], "Hi")
}
