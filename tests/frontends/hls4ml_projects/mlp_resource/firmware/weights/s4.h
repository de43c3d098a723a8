//Numpy array shape [6]
//Min 1.300183057785
//Max 4.094294071198
//Number of zeros 0

#ifndef S4_H_
#define S4_H_

#ifndef __SYNTHESIS__
bn_scale_t s4[6];
#else
bn_scale_t s4[6] = {2.9767196178, 1.3053405285, 4.0942940712, 2.0710363388, 1.4444121122, 1.3001830578};

#endif

#endif
