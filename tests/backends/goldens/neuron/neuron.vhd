-- neuron: 4 clock cycles of latency, a new vector every cycle.
-- Made for Lattice ECP5 LFE5U-85F, speed 8 at 100 MHz.
-- A value is named after its layer; its suffix _r1, _r2, ... counts the registers behind it.
-- Words are unsigned whatever they stand for: every sign extension is written out.

library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

entity neuron is
  port (
    clk : in std_logic;
    rst : in std_logic;
    in_valid : in std_logic;
    x : in std_logic_vector(11 downto 0);
    out_valid : out std_logic;
    y : out std_logic_vector(3 downto 0)
  );
end entity neuron;

architecture rtl of neuron is
  function any_one(word : unsigned) return std_logic is
    variable found : std_logic := '0';
  begin
    for k in word'range loop
      found := found or word(k);
    end loop;
    return found;
  end function any_one;

  signal valid : std_logic_vector(3 downto 0);

  -- Input x: in0
  signal x_0 : unsigned(3 downto 0);
  signal x_1 : unsigned(3 downto 0);
  signal x_2 : unsigned(3 downto 0);

  -- Layer fc1
  signal fc1_0 : unsigned(7 downto 0);
  signal fc1_1, fc1_1_r1 : unsigned(8 downto 0);
  signal fc1_2, fc1_2_r1 : unsigned(8 downto 0);

  -- Layer fc1/relu
  signal fc1_relu_0 : unsigned(6 downto 0);
  signal fc1_relu_1 : unsigned(3 downto 0);

  -- Output y: out0
  signal y_0 : unsigned(3 downto 0);

begin
  process (clk)
  begin
    if rising_edge(clk) then
      if rst = '1' then
        valid <= (others => '0');
      else
        valid <= valid(2 downto 0) & in_valid;
      end if;
    end if;
  end process;
  out_valid <= valid(3);

  -- Input x: in0
  process (clk)
  begin
    if rising_edge(clk) then
      x_0 <= unsigned(x(3 downto 0));
      x_1 <= unsigned(x(7 downto 4));
      x_2 <= unsigned(x(11 downto 8));
    end if;
  end process;

  -- Layer fc1
  fc1_0 <= (((3 downto 0 => x_0(3)) & x_0(3 downto 2)) + ("00" & x_1)) & x_0(1 downto 0);
  fc1_1 <= (fc1_0 & '0') - ((4 downto 0 => x_2(3)) & x_2);
  fc1_2 <= fc1_1_r1 + b"0_0000_0101";
  process (clk)
  begin
    if rising_edge(clk) then
      fc1_1_r1 <= fc1_1;
      fc1_2_r1 <= fc1_2;
    end if;
  end process;

  -- Layer fc1/relu
  fc1_relu_0 <= fc1_2_r1(8 downto 2) + ("000000" & fc1_2_r1(1));
  fc1_relu_1 <= "0000" when fc1_relu_0(6) = '1'
    else "1111" when ((not fc1_relu_0(6)) and any_one(fc1_relu_0(5 downto 4))) = '1'
    else fc1_relu_0(3 downto 0);

  -- Output y: out0
  process (clk)
  begin
    if rising_edge(clk) then
      y_0 <= fc1_relu_1;
    end if;
  end process;
  y(3 downto 0) <= std_logic_vector(y_0);

end architecture rtl;
