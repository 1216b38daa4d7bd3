/* A [data-security-key] form's button asks the browser for a security key ("create" a credential,
   or "get" a signature from one), and sends what the key answers. The question is in the element
   #security-key-options; webauthn-json.js (allauth's) turns it into what browsers understand. */
const usable = typeof window.PublicKeyCredential === "function";

for (const form of document.querySelectorAll("[data-security-key]")) {
  const button = form.querySelector("[data-security-key-start]");
  const problem = form.querySelector("[data-security-key-problem]");
  button.disabled = !usable;
  form.querySelector("[data-security-key-missing]").hidden = usable;
  button.addEventListener("click", async () => {
    const options = JSON.parse(document.getElementById("security-key-options").textContent);
    problem.hidden = true;
    button.disabled = true;
    try {
      const credential =
        form.dataset.securityKey === "create"
          ? await window.webauthnJSON.create(options.creation_options)
          : await window.webauthnJSON.get(options.request_options);
      form.elements.namedItem("credential").value = JSON.stringify(credential);
      form.submit();
    } catch {
      problem.hidden = false;
      button.disabled = false;
    }
  });
}
