# CDTR on ILSVRC, fraction p of the cells that OCM suppresses (Table VII).
base = 'cdtr_deit-s_ilsvrc'
grid = {'model.head.loss_ocm_s.ratio': {'p-05': 0.05, '': 0.10, 'p-15': 0.15, 'p-20': 0.20, 'p-25': 0.25}}
paper = {
    'cdtr_deit-s_ilsvrc_p-05': {'loc/top1': 57.82, 'loc/top5': 67.80, 'loc/gt_known': 70.19},
    'cdtr_deit-s_ilsvrc': {'loc/top1': 58.20, 'loc/top5': 68.05, 'loc/gt_known': 70.72},
    'cdtr_deit-s_ilsvrc_p-15': {'loc/top1': 57.36, 'loc/top5': 67.78, 'loc/gt_known': 70.10},
    'cdtr_deit-s_ilsvrc_p-20': {'loc/top1': 57.12, 'loc/top5': 67.69, 'loc/gt_known': 70.00},
    'cdtr_deit-s_ilsvrc_p-25': {'loc/top1': 56.99, 'loc/top5': 67.50, 'loc/gt_known': 69.78},
}
figure = dict(x='model.head.loss_ocm_s.ratio', y='loc/gt_known', x_label='p')
